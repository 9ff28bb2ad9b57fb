// Chat templates of the native core, whose renderings are seen through a tokenizer of bytes.

import { rmSync } from 'node:fs';
import type { ModelDescriptor } from '#contracts/core.js';
import type { Route } from '#contracts/request.js';
import { byteTokenizerDirectory, textOfBytes } from './byte-tokenizer.js';
import { nativeEncoder } from './native-encoder.js';

/** Renders a body of a route with the template called `name`. Rejects where the template refuses it. */
export type NativeRender = (name: string, route: Route, body: string) => Promise<string>;

/** Runs `use` with templates by name. */
export async function withNativeRenderers(
  templates: ReadonlyMap<string, string>,
  use: (render: NativeRender) => Promise<void>,
): Promise<void> {
  const names = [...templates.keys()];
  const directories = [...templates.values()].map(byteTokenizerDirectory);
  const { encoder } = nativeEncoder(1);
  await encoder.start();
  try {
    const models = names.map(
      (id, index): ModelDescriptor => ({
        index,
        id,
        pool: id,
        adapter: '',
        tokenizer: { kind: 'configured', directory: directories[index] ?? '' },
        proven: true,
        matched: true,
        implied: false,
        blockSize: 16,
        maxModelLen: null,
      }),
    );
    await encoder.setModels(models);
    await use(async (name, route, body) =>
      textOfBytes(await encoder.tokenize(names.indexOf(name), route, body)),
    );
  } finally {
    await encoder.stop();
    for (const directory of directories) rmSync(directory, { recursive: true });
  }
}
