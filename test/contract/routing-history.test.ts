// The RoutingHistory suite on both cores.

import { nativeWorld, portableWorld } from '#test/support/history-world.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { routingHistorySuite } from './routing-history.suite.js';

routingHistorySuite('portable', false, () => portableWorld());
routingHistorySuite('native', nativeSkip, () => nativeWorld());
