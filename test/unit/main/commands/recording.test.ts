import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { RecordingError, readRecording } from '#main/commands/recording.js';

const folder = mkdtempSync(path.join(tmpdir(), 'recording-'));
after(() => rmSync(folder, { recursive: true }));

async function read(content: string | Buffer): Promise<readonly [number, string][]> {
  const file = path.join(folder, 'recording.jsonl');
  writeFileSync(file, content);
  const lines: [number, string][] = [];
  for await (const line of readRecording(file)) lines.push([line.number, line.text('a')]);
  return lines;
}

test('lines may end in CRLF, be empty, cross chunks and lack the last newline', async () => {
  const long = 'é'.repeat(100_000);
  const content = `{"a":"x"}\r\n\n{"a":"${long}"}\n{"a":"z"}`;
  assert.deepEqual(await read(content), [
    [1, 'x'],
    [3, long],
    [4, 'z'],
  ]);
  assert.deepEqual(await read(''), []);
});

test('a file without line ends is refused before it is read whole', async () => {
  const content = Buffer.concat([Buffer.from('{"a":"x"}\n'), Buffer.alloc(17 * 1024 * 1024, 'x')]);
  await assert.rejects(
    read(content),
    (error) =>
      error instanceof RecordingError && /line 2: longer than \d+ bytes/.test(error.message),
  );
});
