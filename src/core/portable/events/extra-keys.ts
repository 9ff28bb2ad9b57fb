// What vLLM's untagged extra keys mean for our keys: the adapter's name, the cache salt (both part
// of the namespace), or more input of one block (multimodal items, prompt embeddings), which
// enters the block's own key so that a text request never matches it.

import type { BlockExtraKeys } from '#contracts/kv-event.js';
import { type CborValue, encodeCbor } from '#wire/cbor.js';
import { countedBytes } from '../keys.js';

type ExtraKey = NonNullable<BlockExtraKeys>[number];

/** Extra keys of one block in the form that enters its key: `countedBytes` of each. */
export type ExtraBytes = Uint8Array;
export const NO_EXTRA: ExtraBytes = new Uint8Array(0);

/**
 * Finds the cache salt among the extra keys of a block that starts at token 0: the last string
 * that is not the adapter's name (order on the wire: LoRA, multimodal, salt, embeddings).
 */
export function saltOf(extraKeys: BlockExtraKeys, loraName: string | null): string | null {
  const strings = withoutLora(extraKeys ?? [], loraName).filter((key) => typeof key === 'string');
  return strings.at(-1) ?? null;
}

/**
 * Further extra keys of one block, in the engine's order, each in canonical CBOR: multimodal
 * `[identifier, offset]` pairs, bare identifiers of old releases, digests of prompt embeddings.
 * `isRoot` says that the block starts at token 0, where the last string is the salt and left out.
 * null when a key is none of string, integer, bytes, boolean, nil or an array of those.
 */
export function extraBytesOf(
  extraKeys: BlockExtraKeys,
  loraName: string | null,
  isRoot: boolean,
): ExtraBytes | null {
  if (extraKeys === null || extraKeys.length === 0) return NO_EXTRA;
  let keys = withoutLora(extraKeys, loraName);
  if (isRoot) {
    const salt = keys.findLastIndex((key) => typeof key === 'string');
    if (salt >= 0) keys = keys.toSpliced(salt, 1);
  }
  const encoded: Uint8Array[] = [];
  for (const key of keys) {
    if (!isCborValue(key)) return null;
    encoded.push(encodeCbor(key));
  }
  return countedBytes(encoded);
}

function withoutLora(keys: readonly ExtraKey[], loraName: string | null): readonly ExtraKey[] {
  const position = loraName === null ? -1 : keys.indexOf(loraName);
  return position < 0 ? keys : keys.toSpliced(position, 1);
}

/** The scan bounds nesting, so this recursion is shallow. */
function isCborValue(key: unknown): key is CborValue {
  if (key === null || typeof key === 'boolean' || typeof key === 'string') return true;
  if (typeof key === 'number') return Number.isSafeInteger(key);
  return key instanceof Uint8Array || (Array.isArray(key) && key.every(isCborValue));
}
