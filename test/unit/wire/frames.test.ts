import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeSeq,
  encodeSeq,
  eventMessage,
  parseEventMessage,
  parseReplayReply,
  REPLAY_END_SEQ,
  replayEnd,
  replayReply,
  replayRequest,
} from '#wire/frames.js';

const payload = Uint8Array.of(0x93, 1, 2, 3);

test('sequence numbers are 8 big-endian bytes, exact beyond 2^53', () => {
  for (const seq of [0n, 1n, 2n ** 53n + 1n, REPLAY_END_SEQ]) {
    assert.equal(decodeSeq(encodeSeq(seq)), seq);
  }
  assert.deepEqual([...encodeSeq(258n)], [0, 0, 0, 0, 0, 0, 1, 2]);
  assert.equal(decodeSeq(new Uint8Array(7)), null);
  assert.equal(decodeSeq(new Uint8Array(9)), null);
});

test('a published message has three frames and nothing else is one', () => {
  assert.deepEqual(parseEventMessage(eventMessage('kv@a@b', 7n, payload)), {
    topic: 'kv@a@b',
    seq: 7n,
    payload,
  });
  assert.equal(parseEventMessage([encodeSeq(7n), payload]), null);
  assert.equal(parseEventMessage([new Uint8Array(0), new Uint8Array(4), payload]), null);
  assert.equal(parseEventMessage([...eventMessage('t', 1n, payload), payload]), null);
});

test('replay replies with and without topic frame carry the last two frames', () => {
  const frame = { topic: 'kv@a@b', seq: 9n, payload };
  assert.deepEqual(parseReplayReply(replayReply('kv@a@b', 9n, payload)), { kind: 'frame', frame });
  assert.deepEqual(parseReplayReply(replayReply(null, 9n, payload)), {
    kind: 'frame',
    frame: { ...frame, topic: '' },
  });
  for (const withTopic of [true, false]) {
    assert.deepEqual(parseReplayReply(replayEnd(withTopic)), { kind: 'end' });
  }
});

test('other replies are refused', () => {
  assert.equal(parseReplayReply([]), null);
  assert.equal(parseReplayReply([payload, encodeSeq(1n), payload]), null, 'no empty delimiter');
  assert.equal(parseReplayReply(replayReply('t', REPLAY_END_SEQ, payload)), null, 'end with bytes');
  assert.equal(parseReplayReply([new Uint8Array(0), new Uint8Array(3), payload]), null);
});

test('a replay request is an empty delimiter and the first sequence number', () => {
  assert.deepEqual(replayRequest(3n), [new Uint8Array(0), encodeSeq(3n)]);
});
