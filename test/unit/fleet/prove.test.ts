import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstDifference, type Proof, type ProofChat, proveModel } from '#fleet/prove.js';
import { MemoryEngineClient, NO_SECURITY } from '#test/support/fake-engine.js';

const CHATS: readonly ProofChat[] = [
  { name: 'plain', body: { messages: [{ role: 'user', content: 'hi' }] } },
  { name: 'tools', body: { messages: [], tools: [] } },
];

async function prove(
  answer: unknown,
  here: (body: string) => Promise<Uint32Array>,
): Promise<{ proof: Proof; asked: readonly string[] }> {
  const client = new MemoryEngineClient();
  client.add('http://e', answer === undefined ? {} : { '/tokenize': answer });
  const proof = await proveModel({
    client,
    url: 'http://e',
    security: NO_SECURITY,
    timeoutMs: 100,
    modelId: 'base',
    chats: CHATS,
    tokenizeHere: here,
  });
  return { proof, asked: client.asked };
}

const ids = (...values: number[]): (() => Promise<Uint32Array>) => {
  return async () => Uint32Array.from(values);
};

test('equal ids for every chat prove a model', async () => {
  const { proof, asked } = await prove({ tokens: [1, 2, 3] }, ids(1, 2, 3));
  assert.deepEqual(proof, { outcome: 'proven', chats: 2 });
  assert.deepEqual(
    asked.map((entry) => entry.slice('POST http://e/tokenize '.length)),
    CHATS.map((chat) => JSON.stringify({ model: 'base', ...chat.body })),
  );
});

test('the first differing id is named', async () => {
  const { proof } = await prove({ tokens: [1, 2, 3, 4] }, ids(1, 2, 9));
  assert.deepEqual(proof, {
    outcome: 'unproven',
    reason: 'Chat "plain": token 2 differs: here [9] of 3 tokens, engine [3,4] of 4 tokens',
  });
});

test('a chat refused on one side only is a difference', async () => {
  const { proof } = await prove({ tokens: [1] }, () => Promise.reject(new Error('no template')));
  assert.equal(proof.outcome, 'unproven');
  assert.match(JSON.stringify(proof), /refused here \(no template\), not by the engine/);
});

test('an engine that cannot be asked proves nothing and disproves nothing', async () => {
  for (const answer of ['not json', { tokens: ['a'] }, { count: 3 }]) {
    const { proof } = await prove(answer, ids(1));
    assert.equal(proof.outcome, 'unavailable', JSON.stringify(answer));
  }
});

test('an engine without the route is told apart from one that does not answer', async () => {
  const { proof } = await prove(undefined, ids(1));
  assert.equal(proof.outcome, 'unsupported', JSON.stringify(proof));
});

test('lists that end differently differ', () => {
  assert.equal(firstDifference([1, 2], [1, 2]), null);
  assert.match(firstDifference([1], [1, 2]) ?? '', /token 1 differs: here \[\] of 1/);
});
