// The portable applier over plain maps, and over its own index.

import { createEventApplier } from '#core/portable/events/applier.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { eventApplierSuite } from '#test/contract/event-applier.suite.js';
import { plainCore, sharedCore } from '#test/support/applied-index.js';

eventApplierSuite('portable (over plain maps)', plainCore);
eventApplierSuite(
  'portable',
  sharedCore((index, writerId, secret) =>
    createEventApplier(openIndexWriter(index, writerId), secret),
  ),
);
