// Event worker of the integration tests: the real host and pipeline over the plain test applier.

import { createSetApplier } from '#test/support/set-applier.js';
import { runEventWorker } from '#workers/event-worker-host.js';

runEventWorker((data) => createSetApplier(data.memory.index));
