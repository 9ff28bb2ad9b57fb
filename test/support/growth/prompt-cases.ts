// Prompt encoders: requests good, bad and stale, tokens asked for, models set anew, encoders that
// come and go. Works on the addon itself, so that everything that waits is waited for here.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { createBlockIndex } from '#core/index-memory.js';
import type { Addon } from '#core/native/addon.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { byteTokenizerDirectory } from '#test/support/byte-tokenizer.js';
import type { GrowthCase, GrowthCases } from './measure.js';

const TURNS = 4_000;
const ENDPOINTS = 64;
const ROUTE = { chat: 0, completions: 1, local: 3 } as const;
/** Kinds of what an encoder tells: an engine must be asked; there are problems. */
const [ENGINE_WANTED, PROBLEMS] = [2, 5];
const EVENT_WORDS = 4;
const TEMPLATE = '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}';

/** An encoder with what it needs, and its answers. */
class Rig {
  readonly store: number;
  readonly encoder: number;
  readonly #addon: Addon;
  readonly #waiting = new Map<number, () => void>();
  #tickets = 0;

  constructor(addon: Addon, memory: { readonly index: Uint8Array; readonly requests: Uint8Array }) {
    this.#addon = addon;
    this.store = addon.storeCreate();
    this.encoder = addon.promptCreate(this.store, memory.index, memory.requests, 7n, 1, () =>
      this.drain(),
    );
  }

  /** Waits for the ticket that `begin` is given, unless it says that there is nothing to wait for. */
  async wait(begin: (ticket: number) => boolean): Promise<void> {
    this.#tickets += 1;
    const ticket = this.#tickets;
    if (begin(ticket)) return;
    await new Promise<void>((resolve) => this.#waiting.set(ticket, resolve));
    this.#waiting.delete(ticket);
  }

  drain(): void {
    const events = this.#addon.promptDrain(this.encoder);
    for (let at = 0; at < events.length; at += EVENT_WORDS) {
      const [kind, slot = 0, generation = 0] = events.subarray(at, at + EVENT_WORDS);
      if (kind === ENGINE_WANTED) this.#answer(slot, generation);
      else if (kind !== PROBLEMS) this.#waiting.get(slot)?.();
    }
    this.#addon.promptProblems(this.encoder);
  }

  /** As an engine that gives ids for one request, and none for the next. */
  #answer(slot: number, generation: number): void {
    const asked = this.#addon.promptEngineBody(this.encoder, slot, generation);
    assert.ok(asked !== null && asked.length > 0);
    const ids = generation % 4 === 1 ? Uint32Array.from({ length: 64 }, (_, id) => id) : null;
    this.#addon.promptAnswer(this.encoder, slot, generation, ROUTE.completions, ids, 5);
  }

  setModels(models: readonly object[]): Promise<void> {
    return this.wait((ticket) => {
      this.#addon.promptSetModels(this.encoder, JSON.stringify(models), ticket);
      return false;
    });
  }

  /** Encodes a body and lets it go; its handle is stale afterwards. */
  async encode(body: Uint8Array, route: number): Promise<readonly [number, number]> {
    const { encoder, store } = this;
    const addon = this.#addon;
    const opened = addon.storeOpen(store, body.length);
    const [slot, generation] = [opened % 65_536, Math.floor(opened / 65_536)];
    addon.storeAppend(store, slot, generation, body);
    const handles = Uint32Array.of(slot, generation);
    await this.wait((ticket) => addon.promptSubmit(encoder, handles, route, ticket));
    addon.promptSpeculate(encoder, slot, generation, 1, 0);
    addon.promptRenewExpected(encoder, slot, generation);
    addon.promptWithdraw(encoder, slot, generation, 1, 0);
    addon.storeRelease(store, slot, generation);
    return [slot, generation];
  }

  async close(): Promise<void> {
    await this.#addon.promptStop(this.encoder);
    this.#addon.promptClose(this.encoder);
    this.#addon.storeClose(this.store);
  }
}

function model(id: string, index: number, tokenizer: object | null): object {
  const rest = {
    adapter: '',
    proven: true,
    matched: true,
    implied: false,
    blockSize: 16,
    maxModelLen: null,
  };
  return { id, index, pool: 'm', tokenizer, ...rest };
}

export async function promptCases(addon: Addon): Promise<GrowthCases> {
  const memory = {
    index: new Uint8Array(createBlockIndex({ blockCapacity: 64, endpointCapacity: ENDPOINTS })),
    requests: new Uint8Array(createRequestMemory(ENDPOINTS)),
  };
  const directory = byteTokenizerDirectory(TEMPLATE);
  const models = [
    model('files', 0, { kind: 'configured', directory }),
    model('engine', 1, { kind: 'engine' }),
    model('lost', 2, { kind: 'configured', directory: '/nowhere' }),
  ];
  const rig = new Rig(addon, memory);
  await rig.setModels(models);
  return {
    cases: [
      ...encodeCases(addon, rig),
      tokenizeCase(addon, rig),
      {
        // Every second set loads the tokenizer anew.
        name: 'prompts: models',
        turns: TURNS / 10,
        call: (turn) => {
          assert.throws(() => addon.promptSetModels(rig.encoder, '[{}', 1));
          return rig.setModels(models.slice(turn % 2));
        },
      },
      {
        name: 'prompts: encoders',
        turns: 100,
        call: async () => {
          const one = new Rig(addon, memory);
          await one.setModels([]);
          await one.encode(Buffer.from('{"model":"m","prompt":"a"}'), ROUTE.completions);
          await one.close();
        },
      },
    ],
    close: async () => {
      await rig.close();
      rmSync(directory, { recursive: true });
    },
  };
}

function encodeCases(addon: Addon, rig: Rig): readonly GrowthCase[] {
  const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
  const messages = [{ role: 'user', content: 'word '.repeat(200) }];
  const chat = json({ model: 'files', messages });
  const asked = json({ model: 'engine', prompt: 'a prompt' });
  const bad = [
    Buffer.from('{"model":'),
    json({ model: 'unknown', messages }),
    json({ model: 'files', messages: 7 }),
    json({ model: 'lost', messages }),
  ];
  return [
    {
      name: 'prompts: chats, and stale handles',
      turns: TURNS,
      call: async () => {
        const [slot, generation] = await rig.encode(chat, ROUTE.chat);
        const stale = Uint32Array.of(slot, generation);
        await rig.wait((ticket) => addon.promptSubmit(rig.encoder, stale, ROUTE.chat, ticket));
        addon.promptSpeculate(rig.encoder, slot, generation, 1, 0);
        addon.promptRenewExpected(rig.encoder, slot, generation);
        addon.promptWithdraw(rig.encoder, slot, generation, 1, 0);
        addon.promptAnswer(rig.encoder, slot, generation, ROUTE.completions, stale, 1);
        assert.equal(addon.promptEngineBody(rig.encoder, slot, generation), null);
        assert.ok(addon.promptStats(rig.encoder).length > 0);
      },
    },
    {
      name: 'prompts: bodies refused',
      turns: TURNS,
      call: async (turn) => {
        await rig.encode(bad[turn % bad.length] ?? chat, ROUTE.chat);
        const none = new Uint32Array(0);
        assert.throws(() => addon.promptSubmit(rig.encoder, none, ROUTE.local, 1));
      },
    },
    {
      name: 'prompts: token ids of engines',
      turns: TURNS,
      call: async () => {
        await rig.encode(asked, ROUTE.completions);
      },
    },
  ];
}

/** What a verification asks for; every second time something that cannot be tokenised. */
function tokenizeCase(addon: Addon, rig: Rig): GrowthCase {
  const bodies = ['{"prompt":"some text"}', '{"prompt":'].map((text) => Buffer.from(text));
  return {
    name: 'prompts: tokenize',
    turns: TURNS,
    call: async (turn) => {
      let taken = 0;
      await rig.wait((ticket) => {
        taken = ticket;
        const body = bodies[turn % 2] ?? Buffer.alloc(0);
        addon.promptTokenize(rig.encoder, 0, ROUTE.completions, body, ticket);
        return false;
      });
      const take = (): Uint32Array | null => addon.promptTakeTokens(rig.encoder, taken);
      if (turn % 2 === 0) assert.equal(take()?.length, 9);
      // Taken before, or never there.
      assert.throws(take);
    },
  };
}
