// The recorded token ids of five families through the native encoder; the portable core's are in
// tokenizers.test.ts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { ModelDescriptor } from '#contracts/core.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { nativeEncoder } from '#test/support/native-encoder.js';
import { goldenFile, repositoryRoot, sharedFile } from '#test/support/paths.js';

interface Vector {
  readonly text: string;
  readonly ids: readonly number[];
  readonly ids_with_special: readonly number[];
}

const FAMILIES = ['qwen2_5', 'qwen3', 'llama3', 'deepseek_v3', 'mistral_nemo'] as const;

function modelOf(family: string, index: number): ModelDescriptor {
  const directory = path.join(repositoryRoot, `node_modules/@lenml/tokenizer-${family}/models`);
  return {
    index,
    id: family,
    pool: family,
    adapter: '',
    tokenizer: { kind: 'npm-package', directory },
    proven: true,
    matched: true,
    implied: false,
    blockSize: 16,
    maxModelLen: null,
  };
}

function vectorsOf(family: string): readonly Vector[] {
  const file =
    family === 'qwen2_5'
      ? goldenFile('tokenizer-qwen2.5-encodings.json')
      : path.join(repositoryRoot, `test/vectors/tokenizers-${family}.json`);
  return (JSON.parse(readFileSync(file, 'utf8')) as { cases: readonly Vector[] }).cases;
}

test('ids of five families are those of the reference library', { skip: nativeSkip }, async () => {
  const problems: unknown[] = [];
  const note = (fields: unknown): void => {
    problems.push(fields);
  };
  const logger = { debug: note, info: note, warn: note, error: note };
  const { encoder } = nativeEncoder(2, logger);
  await encoder.start();
  try {
    await encoder.setModels(FAMILIES.map(modelOf));
    // None of them needs the slow library.
    assert.deepEqual(problems, []);
    for (const [index, family] of FAMILIES.entries()) {
      // DeepSeek's class adds the token its tokenizer.json leaves out.
      const before = family === 'deepseek_v3' ? [0] : [];
      for (const { text, ids, ids_with_special: framed } of vectorsOf(family)) {
        const plain = JSON.stringify({ prompt: text, add_special_tokens: false });
        const whole = JSON.stringify({ prompt: text });
        const why = `${family} ${JSON.stringify(text)}`;
        assert.deepEqual([...(await encoder.tokenize(index, 'completions', plain))], ids, why);
        const actual = await encoder.tokenize(index, 'completions', whole);
        assert.deepEqual([...actual], [...before, ...framed], why);
      }
    }
    await checkCapture((body) => encoder.tokenize(0, 'chat-completions', body));
  } finally {
    await encoder.stop();
  }
});

/** Exchanges of a real vLLM server, where they lie beside this checkout. */
async function checkCapture(tokenize: (body: string) => Promise<Uint32Array>): Promise<void> {
  const file = sharedFile('golden/vllm-0.32.0-server-capture.json');
  if (file === null) return;
  const capture = JSON.parse(readFileSync(file, 'utf8')) as {
    http: readonly { name: string; request: unknown; body: string }[];
  };
  for (const { name, request, body } of capture.http) {
    if (!['tokenize_chat', 'tokenize_chat_tools', 'render_chat'].includes(name)) continue;
    const answer = JSON.parse(body) as { tokens?: number[]; token_ids?: number[] };
    const ids = await tokenize(JSON.stringify(request));
    assert.deepEqual([...ids], answer.tokens ?? answer.token_ids, name);
  }
}
