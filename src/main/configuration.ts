// From the command line and the file to what the modules take.

import { homedir } from 'node:os';
import type { Configuration } from '#config/configuration.js';
import { ConfigurationError, problemLine } from '#config/explain.js';
import { loadConfiguration } from '#config/load.js';
import { findTokenizer, type TokenizerEnvironment } from '#core/tokenizer-source.js';

/** Flags shared by `serve`, `doctor` and `validate`, as commander gives them. */
export interface CommandLineFlags {
  readonly config?: readonly string[];
  readonly endpoint?: readonly string[];
  readonly tokenizer?: readonly string[];
  readonly listen?: string;
  readonly admin?: string;
  readonly policy?: string;
  readonly logLevel?: string;
}

/** Loads the configuration; null after telling on stderr what is wrong with it. */
export function readConfiguration(flags: CommandLineFlags): Configuration | null {
  try {
    const configuration = loadConfiguration({
      files: flags.config ?? [],
      flags: {
        listen: flags.listen,
        admin: flags.admin,
        endpoints: flags.endpoint,
        tokenizers: flags.tokenizer,
        policy: flags.policy,
        logLevel: flags.logLevel,
      },
      environment: process.env,
      warn: (warning) => process.stderr.write(`warning: ${problemLine(warning)}\n`),
    });
    checkTokenizers(configuration);
    return configuration;
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return null;
  }
}

/** A tokenizer that is configured must be there: falling back in silence would cost precision. */
function checkTokenizers({ models }: Configuration): void {
  for (const [id, { tokenizer }] of Object.entries(models)) {
    if (tokenizer === null) continue;
    try {
      findTokenizer({ id, root: null }, { [id]: tokenizer }, tokenizerEnvironment());
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new ConfigurationError([
        { source: 'models', line: null, column: null, path: '', text },
      ]);
    }
  }
}

/** Where this host keeps tokenizers. */
export function tokenizerEnvironment(): TokenizerEnvironment {
  return { hfHome: process.env['HF_HOME'] ?? null, home: homedir() };
}
