// Configuration files of a test: written into a folder of its own, loaded, and what is said about them
// with that folder cut off.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Configuration, ConfigurationFlags } from '#config/configuration.js';
import { ConfigurationError, problemLine } from '#config/explain.js';
import { loadConfiguration } from '#config/load.js';

/** What loading gave. */
export interface Loaded {
  readonly configuration: Configuration;
  readonly warnings: readonly string[];
}

/** A folder of files; `remove` it when the tests are done. */
export class ConfigurationFiles {
  readonly folder: string = mkdtempSync(path.join(tmpdir(), 'warmpath-configuration-'));

  write(name: string, text: string): string {
    const file = path.join(this.folder, name);
    writeFileSync(file, text);
    return file;
  }

  /** Loads files of the folder by name, or others by path. */
  load(names: readonly string[], flags: ConfigurationFlags = {}): Loaded {
    const warnings: string[] = [];
    const configuration = loadConfiguration({
      files: names.map((name) => path.resolve(this.folder, name)),
      flags,
      environment: {},
      warn: (warning) => warnings.push(this.bare(problemLine(warning))),
    });
    return { configuration, warnings };
  }

  /** The lines that say why the files cannot be loaded. */
  mistakes(names: readonly string[], flags: ConfigurationFlags = {}): readonly string[] {
    try {
      this.load(names, flags);
    } catch (error) {
      assert.ok(error instanceof ConfigurationError, String(error));
      return this.bare(error.message).split('\n');
    }
    assert.fail('the configuration was accepted');
  }

  bare(text: string): string {
    return text.replaceAll(`${this.folder}${path.sep}`, '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** An EndpointPickerConfig with these lines below its first two. */
export function endpointPickerConfig(...lines: readonly string[]): string {
  return ['apiVersion: llm-d.ai/v1alpha1', 'kind: EndpointPickerConfig', ...lines, ''].join('\n');
}
