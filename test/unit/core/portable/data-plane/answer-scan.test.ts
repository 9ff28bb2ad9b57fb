// Counting events and reading usage from the bytes of answers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerScan, NO_USAGE } from '#core/portable/data-plane/answer-scan.js';

function scanned(kind: 'events' | 'json', text: string, pieceBytes: number): AnswerScan {
  const scan = new AnswerScan(kind);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    scan.push(bytes.subarray(at, at + pieceBytes));
  }
  return scan;
}

test('events are counted however the stream is cut', () => {
  const streams: readonly (readonly [string, number])[] = [
    ['', 0],
    ['data: 1\n\n', 1],
    ['data: 1\n\ndata: [DONE]\n\n', 1],
    ['data:1\r\n\r\ndata:2\r\n\r\n', 2],
    ['data: 1\ndata: 2\n\ndata: 3\n\n', 2],
    [': data: 1\n\nevent: x\ndata: 1\n\nxdata: 2\n\n data: 3\n\n', 1],
    ['datadata: 1\n\ndat\na: 1\n\n', 0],
    ['id: 1\ndata: {"text":"\\ndata: no"}\n\n', 1],
    // A line that begins with a return and goes on is not empty.
    ['data: 1\n\rx\ndata: 2\n\r\r\ndata: 3\n\n', 2],
  ];
  for (const [text, expected] of streams) {
    for (const pieceBytes of [1, 2, 3, 5, 7, 1000]) {
      assert.equal(
        scanned('events', text, pieceBytes).chunks,
        expected,
        `${text} by ${pieceBytes}`,
      );
    }
  }
});

test('the end of an event is seen across cuts', () => {
  for (const [text, expected] of [
    ['', true],
    ['data: 1\n\n', true],
    ['data: 1\r\n\r\n', true],
    ['data: 1\n', false],
    ['data: 1', false],
    [`data: 1\n${'\r'.repeat(20_000)}`, false],
  ] as const) {
    for (const pieceBytes of [1, 4, 100]) {
      assert.equal(scanned('events', text, pieceBytes).atEventBoundary, expected, text);
    }
  }
});

test('usage is read from the last bytes, and from nothing that only looks like it', () => {
  const usage = '{"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": null}';
  const read = { promptTokens: 9, completionTokens: 2, cachedTokens: -1 };
  const filler = 'x'.repeat(100_000);
  const texts: readonly (readonly ['events' | 'json', string, unknown])[] = [
    ['json', `{"choices":["${filler}"],"usage":${usage}}`, read],
    ['json', `{"usage" : ${usage},"choices":["\\"usage\\": {}"],"usage_note":1}`, read],
    ['json', `{"usage":${usage},"text":"${filler}"}`, NO_USAGE],
    ['json', '{"usage":{"prompt_tokens":1', NO_USAGE],
    ['json', '{"usage":{"prompt_tokens":"1","completion_tokens":-2}}', NO_USAGE],
    ['json', '{"usage":null}', NO_USAGE],
    ['events', `data: {"a":"${filler}"}\n\ndata: {"usage":${usage}}\n\ndata: [DONE]\n\n`, read],
    ['events', `data: {"usage":${usage}}\n\ndata: {"usage":null}\n\ndata: [DONE]\n\n`, read],
    ['events', 'data: {"a":1}\n\n', NO_USAGE],
  ];
  for (const [kind, text, expected] of texts) {
    for (const pieceBytes of [13, 4096, 1_000_000]) {
      assert.deepEqual(scanned(kind, text, pieceBytes).usage(), expected, text.slice(0, 60));
    }
  }
});

test('usage of other APIs is read as that of chats', () => {
  const cases: readonly (readonly [usage: string, read: readonly number[]])[] = [
    [
      '{"input_tokens":70,"output_tokens":3,"input_tokens_details":{"cached_tokens":64}}',
      [70, 3, 64],
    ],
    [
      '{"input_tokens":6,"output_tokens":3,"cache_read_input_tokens":60,"cache_creation_input_tokens":4}',
      [70, 3, 60],
    ],
    ['{"input_tokens":70,"output_tokens":3}', [70, 3, -1]],
    ['{"output_tokens":2}', [-1, 2, -1]],
    ['{"input_tokens":"x","output_tokens":2,"cache_read_input_tokens":null}', [-1, 2, -1]],
  ];
  for (const [usage, [promptTokens, completionTokens, cachedTokens]] of cases) {
    const scan = new AnswerScan('json');
    scan.push(Buffer.from(`{"id":"x","usage":${usage}}`));
    assert.deepEqual(scan.usage(), { promptTokens, completionTokens, cachedTokens }, usage);
  }
});
