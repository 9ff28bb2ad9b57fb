// A request as the handler sees it. Its strings stay native until they are asked for, and come over
// in one piece; headers are taken apart when the first of them is asked for.

import type { RequestHandle, RequestHead } from '#contracts/request.js';
import type { PlaneAddon } from './plane-addon.js';

/** A RequestHead that also tells whether its prompt has been encoded already. */
export interface NativeRequestHead extends RequestHead {
  /** Its encode record can be read. */
  readonly prepared: boolean;
}

/** Position of the first header name in the lines of a head. */
const HEADERS_AT = 3;

export class LazyRequestHead implements NativeRequestHead {
  readonly handle: RequestHandle;
  readonly bodyBytes: number;
  readonly receivedAtMs: number;
  readonly prepared: boolean;
  readonly #addon: PlaneAddon;
  readonly #plane: number;
  #lines: readonly string[] | null = null;
  #headers: Readonly<Record<string, string>> | null = null;

  constructor(
    source: { readonly addon: PlaneAddon; readonly plane: number },
    handle: RequestHandle,
    facts: {
      readonly bodyBytes: number;
      readonly receivedAtMs: number;
      readonly prepared: boolean;
    },
  ) {
    this.handle = handle;
    this.bodyBytes = facts.bodyBytes;
    this.receivedAtMs = facts.receivedAtMs;
    this.prepared = facts.prepared;
    this.#addon = source.addon;
    this.#plane = source.plane;
  }

  get method(): string {
    return this.#text()[0] ?? '';
  }

  get path(): string {
    return this.#text()[1] ?? '';
  }

  get requestId(): string {
    return this.#text()[2] ?? '';
  }

  get headers(): Readonly<Record<string, string>> {
    this.#headers ??= headersOf(this.#text());
    return this.#headers;
  }

  /** Brings the strings over, before the native side forgets them. */
  keep(): void {
    this.#text();
  }

  #text(): readonly string[] {
    if (this.#lines === null) {
      const { slot, generation } = this.handle;
      this.#lines = (this.#addon.planeHead(this.#plane, slot, generation) ?? '').split('\n');
    }
    return this.#lines;
  }
}

function headersOf(lines: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  for (let at = HEADERS_AT; at + 1 < lines.length; at += 2) {
    const name = (lines[at] ?? '').toLowerCase();
    const value = lines[at + 1] ?? '';
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}
