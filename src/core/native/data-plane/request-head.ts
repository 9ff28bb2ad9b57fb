// A request as the handler sees it. Its strings stay native until they are asked for, and come over
// in one piece; headers are taken apart when the first of them is asked for.

import type { RequestHandle, RequestHead } from '#contracts/request.js';
import type { PlaneAddon } from './plane-addon.js';

/** A RequestHead that also tells whether its prompt has been encoded already. */
export interface NativeRequestHead extends RequestHead {
  /** Its encode record can be read. */
  readonly prepared: boolean;
}

interface Lines {
  readonly method: string;
  readonly path: string;
  readonly requestId: string;
  /** Header names and values in turn, a line each. */
  readonly rest: string;
}

export class LazyRequestHead implements NativeRequestHead {
  readonly handle: RequestHandle;
  readonly bodyBytes: number;
  readonly receivedAtMs: number;
  readonly prepared: boolean;
  readonly telling: boolean;
  readonly #addon: PlaneAddon;
  readonly #plane: number;
  #read: Lines | null = null;
  #headers: Readonly<Record<string, string>> | null = null;

  constructor(
    source: { readonly addon: PlaneAddon; readonly plane: number },
    handle: RequestHandle,
    facts: {
      readonly bodyBytes: number;
      readonly receivedAtMs: number;
      readonly prepared: boolean;
      readonly telling: boolean;
    },
  ) {
    this.handle = handle;
    this.bodyBytes = facts.bodyBytes;
    this.receivedAtMs = facts.receivedAtMs;
    this.prepared = facts.prepared;
    this.telling = facts.telling;
    this.#addon = source.addon;
    this.#plane = source.plane;
  }

  get method(): string {
    return this.#lines().method;
  }

  get path(): string {
    return this.#lines().path;
  }

  get requestId(): string {
    return this.#lines().requestId;
  }

  get headers(): Readonly<Record<string, string>> {
    this.#headers ??= headersOf(this.#lines().rest);
    return this.#headers;
  }

  /** Brings the strings over, before the native side forgets them. */
  keep(): void {
    this.#lines();
  }

  #lines(): Lines {
    if (this.#read === null) {
      const { slot, generation } = this.handle;
      this.#read = linesOf(this.#addon.planeHead(this.#plane, slot, generation) ?? '');
    }
    return this.#read;
  }
}

/** Takes the first lines apart; most requests' headers are never asked for. */
function linesOf(text: string): Lines {
  const pathAt = text.indexOf('\n') + 1;
  const idAt = text.indexOf('\n', pathAt) + 1;
  const restAt = text.indexOf('\n', idAt);
  const idEnd = restAt < 0 ? text.length : restAt;
  return {
    method: text.slice(0, Math.max(0, pathAt - 1)),
    path: text.slice(pathAt, Math.max(pathAt, idAt - 1)),
    requestId: text.slice(idAt, idEnd),
    rest: text.slice(idEnd + 1),
  };
}

function headersOf(text: string): Readonly<Record<string, string>> {
  const lines = text.split('\n');
  const headers: Record<string, string> = Object.create(null);
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const name = (lines[at] ?? '').toLowerCase();
    const value = lines[at + 1] ?? '';
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}
