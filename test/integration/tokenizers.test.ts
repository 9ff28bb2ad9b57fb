import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '#contracts/random.js';
import { namespaceSeed } from '#core/portable/keys.js';
import { chainStart, extendChain } from '#core/portable/prompt/hash.js';
import { parseRequest } from '#core/portable/prompt/parse.js';
import { textCutter } from '#core/portable/prompt/prefix-cuts.js';
import { PrefixStore } from '#core/portable/prompt/prefix-store.js';
import { type LoadedTokenizer, loadTokenizer } from '#core/portable/prompt/tokenize.js';
import { readTokenizerFiles } from '#core/portable/prompt/tokenizer-files.js';
import { goldenFile, repositoryRoot, sharedFile } from '#test/support/paths.js';

interface Vector {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_with_special: readonly number[];
}

const SEED = 11;
const context = { today: () => new Date(2026, 0, 1), random: seededRandom(SEED) };
const loaded = new Map<string, Promise<LoadedTokenizer>>();
const qwen = (): Promise<LoadedTokenizer> => tokenizerOf('qwen2_5');

function directoryOf(family: string): string {
  return path.join(repositoryRoot, `node_modules/@lenml/tokenizer-${family}/models`);
}

function tokenizerOf(family: string): Promise<LoadedTokenizer> {
  let tokenizer = loaded.get(family);
  if (tokenizer === undefined) {
    tokenizer = loadTokenizer(directoryOf(family), context);
    loaded.set(family, tokenizer);
  }
  return tokenizer;
}

function vectorsOf(file: string): readonly Vector[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { cases: readonly Vector[] }).cases;
}

async function checkVectors(tokenizer: LoadedTokenizer, vectors: readonly Vector[]): Promise<void> {
  for (const { text, ids } of vectors) {
    assert.deepEqual([...(await tokenizer.encode(text, false))], ids, JSON.stringify(text));
  }
}

test('every golden encoding of Qwen 2.5 is reproduced', async () => {
  const vectors = vectorsOf(goldenFile('tokenizer-qwen2.5-encodings.json'));
  assert.equal(vectors.length, 43);
  await checkVectors(await qwen(), vectors);
});

for (const family of ['llama3', 'deepseek_v3', 'mistral_nemo', 'qwen3']) {
  test(`ids of ${family} are those of the reference library`, async () => {
    const tokenizer = await tokenizerOf(family);
    const vectors = vectorsOf(path.join(repositoryRoot, `test/vectors/tokenizers-${family}.json`));
    assert.ok(vectors.length >= 60);
    await checkVectors(tokenizer, vectors);
    // DeepSeek's class adds the token its tokenizer.json leaves out.
    const before = family === 'deepseek_v3' ? [0] : [];
    for (const { text, ids_with_special: ids } of vectors) {
      const framed = await tokenizer.encode(text, true);
      assert.deepEqual([...framed], [...before, ...ids], JSON.stringify(text));
    }
  });
}

test('chats are rendered and tokenised as a recorded vLLM server did', async (t) => {
  const file = sharedFile('golden/vllm-0.32.0-server-capture.json');
  if (file === null) {
    t.skip('the recorded server exchanges are not beside this checkout');
    return;
  }
  const capture = JSON.parse(readFileSync(file, 'utf8')) as {
    http: readonly { name: string; request: unknown; body: string }[];
  };
  const tokenizer = await qwen();
  let compared = 0;
  for (const { name, request, body } of capture.http) {
    if (!['tokenize_chat', 'tokenize_chat_tools', 'render_chat'].includes(name)) continue;
    const parsed = parseRequest(Buffer.from(JSON.stringify(request)), 'chat-completions');
    assert.ok(parsed.ok && parsed.request.prompt.kind === 'chat');
    const text = tokenizer.renderer?.renderChat(parsed.request.prompt) ?? '';
    const answer = JSON.parse(body) as { tokens?: number[]; token_ids?: number[] };
    const ids = await tokenizer.encode(text, false);
    assert.deepEqual([...ids], answer.tokens ?? answer.token_ids, name);
    compared += 1;
  }
  assert.equal(compared, 3);
});

test('which families may be cut between words', async () => {
  const rules = ['qwen2_5', 'qwen3', 'llama3', 'deepseek_v3', 'mistral_nemo'].map(
    (family) => textCutter(readTokenizerFiles(directoryOf(family)).shape)?.rule ?? null,
  );
  assert.deepEqual(rules, ['text', 'text', 'text', 'tokens', 'tokens']);
  const shape = { normalizer: null, preTokenizer: { type: 'Metaspace' }, addedTokens: [] };
  assert.equal(textCutter(shape), null);
});

test('cuts are exact at every place the rule allows, and not elsewhere (random)', async () => {
  for (const family of ['qwen2_5', 'llama3', 'deepseek_v3', 'mistral_nemo']) {
    const tokenizer = await tokenizerOf(family);
    assert.ok(tokenizer.cutter !== null, `${family}: the self-test failed`);
    const text = longText(family);
    let wrongElsewhere = 0;
    for (let from = 1; from < 4000; from += 97) {
      const cut = tokenizer.cutter.next(text, 0, from);
      if (cut > 0) assert.ok(await splitsAt(tokenizer, text, cut), `${family} at ${cut}`);
      // The negative control: cuts anywhere break tokens.
      if (!(await splitsAt(tokenizer, text, from))) wrongElsewhere += 1;
    }
    assert.ok(wrongElsewhere > 5, `${family}: only ${wrongElsewhere} arbitrary cuts were wrong`);
  }
});

async function splitsAt(tokenizer: LoadedTokenizer, text: string, cut: number): Promise<boolean> {
  const end = cut + 300;
  const start = Math.max(0, cut - 300);
  const [whole, left, right] = await tokenizer.encodeParts([
    text.slice(start, end),
    text.slice(start, cut),
    text.slice(cut, end),
  ]);
  return String(whole) === String([...(left ?? []), ...(right ?? [])]);
}

function longText(family: string): string {
  const tokens = readTokenizerFiles(directoryOf(family)).shape.addedTokens;
  const random = seededRandom(SEED);
  const words = [
    'alpha',
    ' beta',
    '\n',
    '\nGamma',
    ' 12345',
    ' 你好 ',
    "don't ",
    ' é',
    '...',
    '\r\n ',
  ];
  let text = '';
  while (text.length < 6000) {
    const token = tokens[Math.floor(random.next() * tokens.length)];
    text += random.next() < 0.1 ? String(token?.['content']) : '';
    text += words[Math.floor(random.next() * words.length)];
  }
  return text;
}

test('the prefix store gives the keys of the whole text, and reuses shared prefixes', async () => {
  const tokenizer = await qwen();
  const store = new PrefixStore(tokenizer, () => 0);
  const seed = namespaceSeed(1n, { pool: 'p', adapter: '', cacheSalt: '' });
  const shared = longText('qwen2_5');
  for (const blockSize of [16, 64]) {
    for (const [suffix, seen] of [
      ['', false],
      [' one more', true],
      ['', true],
    ] as const) {
      const text = shared + suffix;
      const keyed = await store.key({ text, addSpecialTokens: false, seed, blockSize });
      const whole = extendChain(chainStart(seed), await tokenizer.encode(text, false), blockSize);
      assert.equal(keyed.promptTokens, whole.state.tokenCount);
      assert.deepEqual(keyed.keys, whole.keys);
      assert.ok(keyed.chunks > 4);
      assert.ok(seen ? keyed.hits >= keyed.chunks - 1 : keyed.hits === 0, `${keyed.hits} hits`);
    }
  }
});

test('other namespaces do not find each other, and bytes stay bounded', async () => {
  const tokenizer = await qwen();
  const store = new PrefixStore(tokenizer, () => 0, 4000);
  const text = longText('qwen2_5');
  for (const cacheSalt of ['a', 'b', 'c']) {
    const seed = namespaceSeed(1n, { pool: 'p', adapter: '', cacheSalt });
    const keyed = await store.key({ text, addSpecialTokens: false, seed, blockSize: 16 });
    assert.equal(keyed.hits, 0);
    assert.ok(store.usage().bytes <= 4000, `${store.usage().bytes} bytes`);
    assert.ok(store.usage().nodes > 0);
  }
});

test('a prompt with a leading token keeps it in its keys', async () => {
  const tokenizer = await tokenizerOf('mistral_nemo');
  const store = new PrefixStore(tokenizer, () => 0);
  const seed = namespaceSeed(1n, { pool: 'p', adapter: '', cacheSalt: '' });
  const text = longText('mistral_nemo');
  for (let round = 0; round < 2; round += 1) {
    const keyed = await store.key({ text, addSpecialTokens: true, seed, blockSize: 16 });
    const ids = await tokenizer.encode(text, true);
    assert.equal(ids[0], 1);
    assert.deepEqual(keyed.keys, extendChain(chainStart(seed), ids, 16).keys);
  }
});
