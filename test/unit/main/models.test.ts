// What the encoder is told of models: whose word proves a tokenizer, and who is asked for token ids
// where there are no files.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelDescriptor, PromptEncoder, TokenizerSource } from '#contracts/core.js';
import type { Endpoint } from '#contracts/endpoint.js';
import type { EngineClient } from '#contracts/transport.js';
import type { FleetModel } from '#fleet/models.js';
import { ModelCoordinator } from '#main/models.js';
import { eventually } from '#test/support/eventually.js';
import { VirtualClock } from '#test/support/time.js';

const FILES: TokenizerSource = { kind: 'configured', directory: '/tokenizer' };

function endpoint(slot: number, host: string): Endpoint {
  return {
    slot,
    name: `${host}:8000`,
    url: `http://${host}:8000`,
    id: null,
    dpRank: null,
    engine: 'vllm',
    labels: {},
    security: { apiKey: null, caPem: null },
    models: [],
    blockSize: 16,
    gpuBlocks: 100,
    cacheTokens: null,
    events: null,
  };
}

function modelOn(slots: readonly number[]): FleetModel {
  return { index: 0, id: 'm', pool: 'm', adapter: '', maxModelLen: 100, roots: [], slots };
}

/** A coordinator whose engines answer /tokenize with [1, 2] unless their host is in `dead`. */
function rig(options: {
  readonly files: TokenizerSource | null;
  readonly dead: Set<string>;
  /** Called with each set of models; the encoder takes it when this resolves. */
  readonly taking?: (models: readonly ModelDescriptor[]) => Promise<void>;
}) {
  const clock = new VirtualClock();
  const sent: ModelDescriptor[] = [];
  const asked: string[] = [];
  const client: EngineClient = {
    post: (url) => {
      const host = new URL(url).hostname;
      asked.push(host);
      if (options.dead.has(host)) return Promise.reject(new Error('connection refused'));
      return Promise.resolve({ status: 200, body: '{"tokens":[1,2]}' });
    },
  };
  const encoder = {
    setModels: (models: readonly ModelDescriptor[]) => {
      sent.push(...models);
      return options.taking?.(models) ?? Promise.resolve();
    },
    tokenize: () => Promise.resolve(Uint32Array.of(1, 2)),
  };
  const quiet = (): void => {};
  const logged: (readonly [string, unknown])[] = [];
  const coordinator = new ModelCoordinator({
    matchesPrompts: true,
    encoder: encoder as unknown as PromptEncoder,
    client,
    clock,
    logger: {
      debug: quiet,
      info: (fields, sentence) => logged.push([sentence, fields['model']]),
      warn: quiet,
      error: quiet,
    },
    findTokenizer: () => options.files,
  });
  return { clock, sent, asked, logged, coordinator };
}

const BLOCK_SIZES: ReadonlyMap<string, number> = new Map([['m', 16]]);

test('an engine that does not answer is not asked for the proof again and again', async () => {
  const { clock, sent, asked, coordinator } = rig({ files: FILES, dead: new Set(['a']) });
  coordinator.update([modelOn([0, 1])], BLOCK_SIZES, [endpoint(0, 'a'), endpoint(1, 'b')]);
  await eventually('the first has failed', () => {
    return coordinator.statuses().get('m')?.reason.includes('connection refused') === true;
  });
  clock.advance(5000);
  await eventually('the second has proven it', () => sent.at(-1)?.proven === true);
  assert.deepEqual([...new Set(asked)], ['a', 'b']);
  coordinator.stop();
});

test('without files the engines of the fleet as it is are named, each address once', () => {
  const { sent, coordinator } = rig({ files: null, dead: new Set() });
  const urlsOf = (model: ModelDescriptor | undefined): readonly string[] => {
    const source = model?.tokenizer;
    return source?.kind === 'engine' ? source.engines.map(({ url }) => url) : [];
  };
  const ranks = [endpoint(0, 'a'), endpoint(1, 'a'), endpoint(2, 'b')];
  coordinator.update([modelOn([0, 1, 2])], BLOCK_SIZES, ranks);
  assert.deepEqual(urlsOf(sent.at(-1)), ['http://a:8000', 'http://b:8000']);
  coordinator.update([modelOn([2])], BLOCK_SIZES, [null, null, endpoint(2, 'b')]);
  assert.deepEqual(urlsOf(sent.at(-1)), ['http://b:8000']);
  assert.equal(coordinator.statuses().get('m')?.proof, 'not-needed');
  coordinator.stop();
});

test('bodies without a model mean the base model where one pool is served', () => {
  const { sent, coordinator } = rig({ files: null, dead: new Set() });
  const implied = (): readonly string[] => sent.filter((one) => one.implied).map(({ id }) => id);
  const base = modelOn([0]);
  const adapter = { ...base, index: 1, id: 'sql', adapter: 'sql' };
  const other = { ...base, index: 2, id: 'other', pool: 'other', slots: [1] };
  const endpoints = [endpoint(0, 'a'), endpoint(1, 'b')];
  const told = (...models: readonly FleetModel[]): readonly string[] => {
    sent.length = 0;
    coordinator.update(models, BLOCK_SIZES, endpoints);
    return implied();
  };
  assert.deepEqual(told(base, adapter), ['m']);
  assert.deepEqual(told(base, adapter, other), []);
  assert.deepEqual(told({ ...base, slots: [] }, { ...adapter, slots: [] }, other), ['other']);
  coordinator.stop();
});

test('a model is matched once the encoder has taken its proof, which is told once', async () => {
  let take = (): void => {};
  const { sent, logged, coordinator } = rig({
    files: FILES,
    dead: new Set(),
    taking: ([model]) =>
      model?.proven === true
        ? new Promise((resolve) => {
            take = resolve;
          })
        : Promise.resolve(),
  });
  const matching = (): number =>
    logged.filter(([text]) => /prompts .* are matched/.test(text)).length;
  coordinator.update([modelOn([0])], BLOCK_SIZES, [endpoint(0, 'a')]);
  await eventually('it is proven', () => sent.at(-1)?.proven === true);
  assert.deepEqual(
    [coordinator.isMatched('m'), coordinator.isProving(), matching()],
    [false, true, 0],
  );
  take();
  await eventually('the encoder has taken it', () => coordinator.isMatched('m'));
  await eventually('nothing is on the way', () => !coordinator.isProving());
  // Without a block size there is nothing to match, and a known one is no news.
  coordinator.update([modelOn([0])], new Map(), [endpoint(0, 'a')]);
  take();
  await eventually('it is not matched any more', () => !coordinator.isMatched('m'));
  assert.equal(matching(), 1);
  coordinator.stop();
});
