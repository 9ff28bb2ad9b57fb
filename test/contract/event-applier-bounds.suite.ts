// What a publisher can cost and whom it can harm, for every core: frames as large as they may be,
// made to take time, memory or what other publishers need.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ApplierCore } from '#test/support/applied-index.js';
import { openRig, stored } from '#test/support/applier-rig.js';

export function eventApplierBoundsSuite(name: string, core: ApplierCore): void {
  describe(`bounds of the event applier, ${name} core`, () => {
    // Work that grows with the square of a frame would keep these busy for hours.
    const shapes: ReadonlyMap<string, (at: number) => number> = new Map([
      ['of one byte', (at) => at & 0x7f],
      [
        'of one, two, three and five bytes in turn',
        (at) => [5, 200, 300 + (at & 0xff), 70_000 + at][at & 3] ?? 0,
      ],
      ['of one and three bytes in turn', (at) => (at & 1) * (256 + (at & 0xff))],
    ]);
    for (const [shape, id] of shapes) {
      test(`a million token ids ${shape} in one event are read rightly`, () => {
        const blockSize = 1 << 18;
        const { apply, match } = openRig(core, blockSize);
        const prompt = Array.from({ length: 4 * blockSize }, (_, at) => id(at));
        assert.equal(
          apply(stored([1, 2, 3, 4], prompt, { block_size: blockSize })).blocksStored,
          4,
        );
        assert.equal(match(prompt), 4);
      });
    }
  });
}
