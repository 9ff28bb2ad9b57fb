// `warmpath config migrate`: reads what llm-d is configured with and writes it as our own YAML. Only
// what loads is written, so the result can be started as it is.

import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigurationError } from '#config/explain.js';
import { migrateConfiguration } from '#config/migrate.js';
import { readConfiguration } from '../configuration.js';

export interface MigrateOptions {
  readonly output?: string;
}

/** Writes the YAML; 0 when it was written, 2 when the files cannot be used. */
export function migrate(
  files: readonly string[],
  { output }: MigrateOptions,
  print: (line: string) => void,
): number {
  if (readConfiguration({ config: files }) === null) return 2;
  let text: string;
  try {
    const folder = output === undefined ? '.' : path.dirname(output);
    text = migrateConfiguration({ files, folder });
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  if (output === undefined) print(text.trimEnd());
  else if (!written(output, text)) return 2;
  return 0;
}

/** Never over a file that is there: it may be one of those that are being read. */
function written(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === 'EEXIST' ? 'it exists already' : message;
    process.stderr.write(`cannot write ${file}: ${reason}\n`);
    return false;
  }
}
