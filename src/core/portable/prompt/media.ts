// The images, audio and video of a chat, each named by what the client sent of it. The router never
// fetches or decodes them: equal text means an equal item, as it does for an engine's encoder cache
// (vLLM's `uuid`, else the URL or the data). Called by parse.ts and encode.ts.

import { xxh3 } from '@node-rs/xxhash';
import { MEDIA_KEYS_MAX } from '#contracts/limits.js';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import { isText } from './json-value.js';

/** What of a chat is no text. */
export interface ChatMedia {
  /** The text that names each item, in order, with repetitions. */
  readonly contents: readonly string[];
  /** Items whose content is in none of the known places. */
  readonly unnamed: number;
  /** Whether the engine makes its block keys from more than the text's token ids. */
  readonly inKeys: boolean;
}

/** Stands where the first of them was; no client's text has it but to have less of it matched. */
export const MEDIA_MARK = 'Wp7f3aFirstMedia';

/** Keys of a chat's items. */
export interface MediaKeys {
  /** XXH3-64 of the contents, without repetition, at most MEDIA_KEYS_MAX. */
  readonly keys: readonly bigint[];
  /** Items that have no key here: unnamed ones, and those beyond the limit. */
  readonly leftOut: number;
}

export const NO_MEDIA: ChatMedia = { contents: [], unnamed: 0, inKeys: false };
export const NO_MEDIA_KEYS: MediaKeys = { keys: [], leftOut: 0 };

const TEXT_PARTS: ReadonlySet<string> = new Set([
  'text',
  'input_text',
  'output_text',
  'refusal',
  'thinking',
]);
/** Where a part of each type has its content: a text, or an object with `url` or `data`. */
const CONTENT_FIELDS: ReadonlyMap<string, string> = new Map([
  ['image_url', 'image_url'],
  ['input_image', 'image_url'],
  ['image_embeds', 'image_embeds'],
  ['audio_url', 'audio_url'],
  ['input_audio', 'input_audio'],
  ['audio_embeds', 'audio_embeds'],
  ['video_url', 'video_url'],
]);

/** Gathers the media of messages that have been checked. Costs nothing where all content is text. */
export function readMedia(messages: readonly JsonValue[]): ChatMedia {
  let media: { contents: string[]; unnamed: number; inKeys: boolean } | null = null;
  for (const message of messages) {
    const content = isJsonObject(message) ? message['content'] : null;
    if (!Array.isArray(content)) continue;
    for (const part of content) {
      const kind = kindOfPart(part);
      if (kind === 'text') continue;
      media ??= { contents: [], unnamed: 0, inKeys: true };
      if (kind === 'marked-text') continue;
      const named = contentOf(part);
      if (named === null) media.unnamed += 1;
      else media.contents.push(named);
    }
  }
  return media ?? NO_MEDIA;
}

/** Hashes the contents; `secret` seeds them, so that keys tell nobody what was sent. */
export function mediaKeys(media: ChatMedia, secret: bigint): MediaKeys {
  if (media === NO_MEDIA) return NO_MEDIA_KEYS;
  const { contents, unnamed } = media;
  const keys = new Set<bigint>();
  let leftOut = unnamed;
  for (const content of contents) {
    const key = xxh3.xxh64(Buffer.from(content, 'utf8'), secret);
    if (keys.size < MEDIA_KEYS_MAX) keys.add(key);
    else if (!keys.has(key)) leftOut += 1;
  }
  return { keys: [...keys], leftOut };
}

/** Whether a part of a message is no plain text. */
export function isMedia(part: JsonValue): boolean {
  return kindOfPart(part) !== 'text';
}

function kindOfPart(part: JsonValue): 'text' | 'marked-text' | 'media' {
  if (isText(part)) return 'text';
  const type = isJsonObject(part) ? part['type'] : null;
  if (!isJsonObject(part) || typeof type !== 'string' || !TEXT_PARTS.has(type)) return 'media';
  return part['uuid'] == null ? 'text' : 'marked-text';
}

function contentOf(part: JsonValue): string | null {
  if (!isJsonObject(part)) return null;
  const { type, uuid } = part;
  const field = typeof type === 'string' ? CONTENT_FIELDS.get(type) : undefined;
  if (field === undefined) return null;
  const content = part[field];
  const places = isJsonObject(content) ? [uuid, content['url'], content['data']] : [uuid, content];
  return places.filter(isText).find((text) => text !== '') ?? null;
}
