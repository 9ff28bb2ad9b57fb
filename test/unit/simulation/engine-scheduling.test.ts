// The scheduler of the engine model: budget, order, admission, preemption, step time, abort.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, drain, run, serve, smallModel, step } from '#test/support/engine-model.js';

function submit(
  model: ReturnType<typeof smallModel>,
  id: string,
  promptTokenIds: readonly number[],
  outputTokens: number,
): void {
  model.submit({ id, promptTokenIds, outputTokens, identity: BASE });
}

test('admission is first come, first served and stops at the first that does not fit', () => {
  const model = smallModel({ gpuBlocks: 9 });
  submit(model, 'a', run(0, 18), 4);
  submit(model, 'large', run(100, 20), 2);
  submit(model, 'small', run(200, 2), 2);
  step(model);
  assert.deepEqual(model.stats().running, 1);
  assert.deepEqual(model.stats().waiting, 2);
});

test('max_num_seqs and the token budget bound a step', () => {
  const model = smallModel({ runningMax: 2, batchedTokensMax: 6 });
  for (const id of ['a', 'b', 'c']) submit(model, id, run(id.charCodeAt(0) * 10, 4), 2);
  assert.deepEqual(
    step(model).tokens.map(({ id }) => id),
    ['a'],
  );
  // Decoding comes first: one token for a, the rest of b's prompt, and no third request.
  assert.deepEqual(
    step(model).tokens.map(({ id, finished }) => `${id} ${finished}`),
    ['a true', 'b false'],
  );
  assert.equal(model.stats().running, 1);
  assert.deepEqual(
    step(model).tokens.map(({ id }) => id),
    ['b', 'c'],
  );
});

test('max_loras bounds the adapters that run; requests of others pass those that wait', () => {
  const model = smallModel({ lorasMax: 1 });
  const lora = (name: string, id: number) => ({ name, id, path: `/${name}` });
  const add = (id: string, adapter: ReturnType<typeof lora> | null): void =>
    model.submit({
      id,
      promptTokenIds: run(id.charCodeAt(0) * 10, 4),
      identity: { lora: adapter, cacheSalt: null },
      outputTokens: 3,
    });
  add('a', lora('sql', 1));
  add('b', lora('law', 2));
  add('c', null);
  add('d', lora('sql', 1));
  const { tokens } = step(model);
  assert.deepEqual(
    tokens.map(({ id }) => id),
    ['a', 'c', 'd'],
  );
  assert.deepEqual(model.adapters(), { running: ['sql'], waiting: ['law'] });
  step(model);
  step(model);
  assert.deepEqual(
    step(model).tokens.map(({ id }) => id),
    ['b'],
  );
});

test('without room the most recently admitted request is preempted and comes back first', () => {
  const model = smallModel({ gpuBlocks: 5 });
  submit(model, 'old', run(0, 7), 8);
  submit(model, 'young', run(50, 7), 8);
  submit(model, 'new', run(80, 2), 1);
  step(model);
  // Both hold two blocks; decoding the second token needs a third.
  step(model);
  const before = model.stats();
  assert.equal(before.preemptions, 0);
  step(model);
  const { preemptions, running, waiting } = model.stats();
  // No admission in a step that preempted, although the newcomer would have fitted.
  assert.deepEqual({ preemptions, running, waiting }, { preemptions: 1, running: 1, waiting: 2 });
  const finished: string[] = [];
  for (let steps = 0; steps < 100 && model.beginStep() !== null; steps++) {
    for (const token of model.endStep().tokens) if (token.finished) finished.push(token.id);
  }
  assert.deepEqual(finished.sort(), ['new', 'old', 'young']);
  assert.equal(model.stats().cacheUsage, 0);
});

test('a preempted request keeps what it generated and its first cached tokens', () => {
  const generate = (gpuBlocks: number): readonly string[] => {
    const model = smallModel({ gpuBlocks });
    submit(model, 'old', run(0, 7), 8);
    submit(model, 'young', run(50, 7), 8);
    const tokens: string[] = [];
    for (let steps = 0; steps < 100 && model.beginStep() !== null; steps++) {
      for (const { id, tokenId, cachedTokens } of model.endStep().tokens) {
        if (id === 'young') tokens.push(`${tokenId} ${cachedTokens}`);
      }
    }
    return tokens;
  };
  assert.deepEqual(generate(5), generate(17));
  assert.equal(generate(5).length, 8);
});

test('abort frees blocks, waiting or running, also in the middle of a step', () => {
  const model = smallModel({ gpuBlocks: 5 });
  submit(model, 'a', run(0, 12), 2);
  submit(model, 'b', run(50, 12), 2);
  model.beginStep();
  assert.equal(model.abort('b'), true);
  assert.equal(model.abort('a'), true);
  assert.equal(model.abort('a'), false);
  assert.deepEqual(model.endStep().tokens, []);
  const { running, waiting, cacheUsage } = model.stats();
  assert.deepEqual({ running, waiting, cacheUsage }, { running: 0, waiting: 0, cacheUsage: 0 });
  assert.equal(model.beginStep(), null);
});

test('step time follows the coefficients', () => {
  const model = smallModel({
    coefficients: {
      fixedSeconds: 1,
      prefillSecondsPerToken: 0.1,
      attentionSecondsPerTokenPair: 0.001,
      contextSecondsPerToken: 0.01,
    },
  });
  submit(model, 'a', run(0, 10), 3);
  assert.equal(model.beginStep(), 1 + 0.1 * 10 + 0.001 * 10 * 5);
  model.endStep();
  assert.equal(model.beginStep(), 1 + 0.01 * 10);
  model.endStep();
  submit(model, 'b', run(0, 9), 1);
  // a decodes with a context of 11, b computes one token after 8 cached ones.
  assert.equal(model.beginStep(), 1 + 0.1 + 0.001 * 8.5 + 0.01 * 11);
});

test('the same prompt generates the same tokens, another seed others', () => {
  const tokens = (seed: number): readonly number[] => {
    const model = smallModel({ seed, outputVocabulary: run(500, 100) });
    submit(model, 'a', run(0, 5), 12);
    const generated: number[] = [];
    while (model.beginStep() !== null) {
      for (const { tokenId } of model.endStep().tokens) generated.push(tokenId);
    }
    return generated;
  };
  assert.deepEqual(tokens(1), tokens(1));
  assert.notDeepEqual(tokens(1), tokens(2));
});

test('cache queries and hits are counted in tokens, once per request', () => {
  const model = smallModel();
  serve(model, 'a', run(0, 9));
  serve(model, 'b', run(0, 9));
  drain(model);
  const { cacheQueriesTokens, cacheHitsTokens } = model.stats();
  assert.deepEqual(
    { cacheQueriesTokens, cacheHitsTokens },
    { cacheQueriesTokens: 18, cacheHitsTokens: 8 },
  );
});
