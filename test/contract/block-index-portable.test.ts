// The portable core under the laws of the block index.

import { createBlockIndex } from '#core/index-memory.js';
import { openIndexOwner } from '#core/portable/index/owner.js';
import { openIndexReader } from '#core/portable/index/reader.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { blockIndexSuite } from '#test/contract/block-index.suite.js';

blockIndexSuite('portable', {
  create: createBlockIndex,
  owner: openIndexOwner,
  writer: (buffer, writerId) => openIndexWriter(buffer, writerId),
  reader: openIndexReader,
});
