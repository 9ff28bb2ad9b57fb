// The portable applier over plain maps, and over its own index.

import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { eventApplierSuite } from '#test/contract/event-applier.suite.js';
import { eventApplierBoundsSuite } from '#test/contract/event-applier-bounds.suite.js';
import { plainCore, sharedCore } from '#test/support/applied-index.js';

const core = sharedCore((index, writerId, secret) =>
  createEventApplier(openIndexWriter(index, writerId), secret),
);

eventApplierSuite('portable (over plain maps)', plainCore);
eventApplierSuite('portable', core);
eventApplierBoundsSuite('portable', core);
