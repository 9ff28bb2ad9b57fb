import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '#observability/log.js';

function capture(level: 'debug' | 'info' | 'warn'): {
  readonly lines: string[];
  readonly logger: ReturnType<typeof createLogger>;
} {
  const lines: string[] = [];
  const destination = {
    write: (line: string): void => {
      lines.push(line);
    },
  };
  return {
    lines,
    logger: createLogger({ level, destination, isoNow: () => new Date().toISOString() }),
  };
}

test('a line is one JSON object with level, time, message and fields', () => {
  const { lines, logger } = capture('info');
  logger.info({ 'x-request-id': 'r1', scores: null }, 'Got pod scores');
  const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
  assert.match(String(line['time']), /^\d{4}-\d\d-\d\dT.*Z$/);
  delete line['time'];
  assert.deepEqual(line, {
    level: 'info',
    'x-request-id': 'r1',
    scores: null,
    message: 'Got pod scores',
  });
});

test('nothing in a field can begin a line of its own', () => {
  const { lines, logger } = capture('info');
  logger.warn({ model: 'a\r\n{"level":"error"}\u2028\u001b[31m' }, 'strange model');
  assert.equal(lines.length, 1);
  const text = (lines[0] ?? '').slice(0, -1);
  assert.deepEqual(
    [...text].filter((character) => character < ' '),
    [],
  );
});

test('errors keep their cause, other values stay what they are', () => {
  const { lines, logger } = capture('info');
  logger.error({ error: new Error('outer', { cause: new Error('inner') }) }, 'failed');
  logger.error({ error: 'just text' }, 'failed');
  assert.match(lines[0] ?? '', /outer/);
  assert.match(lines[0] ?? '', /inner/);
  assert.match(lines[1] ?? '', /"error":"just text"/);
});

test('lines below the level are not written', () => {
  const { lines, logger } = capture('warn');
  logger.debug({}, 'a');
  logger.info({}, 'b');
  logger.warn({}, 'c');
  assert.equal(lines.length, 1);
});
