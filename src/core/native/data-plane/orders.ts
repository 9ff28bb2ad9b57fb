// Packs what crosses to the native side when a request has been decided: numbers into registered
// memory, strings into one with NUL behind each, which neither headers nor JSON text can contain.

import { assert } from '#contracts/assert.js';
import type { ForwardOrder, OwnPick } from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import { ATTEMPTS_MAX } from '#contracts/limits.js';
import type { HeaderPair } from '#contracts/request.js';
import { engineAddress } from '../engine-address.js';

/** Behind each string. */
const END = '\0';

/** Writes the order's numbers into `numbers` and returns its strings. */
export function packOrder(order: ForwardOrder, numbers: Uint32Array): string {
  // More are never tried.
  const count = Math.min(order.targets.length, ATTEMPTS_MAX);
  assert(2 + 3 * count + 2 * order.patches.length <= numbers.length, 'an order has few patches');
  let texts = '';
  let at = 0;
  numbers[at++] = count;
  for (let position = 0; position < count; position += 1) {
    const target = order.targets[position];
    assert(target !== undefined, 'positions are below the count');
    numbers[at++] = target.slot;
    numbers[at++] = target.requestHeaders.length;
    numbers[at++] = target.responseHeaders.length;
    texts += headerTexts(target.requestHeaders) + headerTexts(target.responseHeaders);
  }
  numbers[at++] = order.patches.length;
  for (const patch of order.patches) {
    numbers[at++] = patch.offset;
    numbers[at++] = patch.length;
    texts += patch.text + END;
  }
  return texts;
}

/** Names and values in turn, each with NUL behind it. */
export function headerTexts(headers: readonly HeaderPair[]): string {
  let texts = '';
  for (const [name, value] of headers) texts += name + END + value + END;
  return texts;
}

/** The endpoints as the native side reads them. */
export function packEndpoints(bySlot: readonly (Endpoint | null)[], ownPick: OwnPick): string {
  return JSON.stringify(
    bySlot.map((endpoint) => {
      if (endpoint === null) return null;
      return {
        name: endpoint.name,
        address: engineAddress(endpoint.url, endpoint.security),
        dpRank: endpoint.dpRank,
        models: ownPick(endpoint),
      };
    }),
  );
}
