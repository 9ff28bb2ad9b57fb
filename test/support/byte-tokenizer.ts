// A tokenizer whose tokens are bytes, so that token ids show the rendered text, in a directory of
// its own with any chat template.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The printable characters that byte-level tokenizers write for the bytes 0…255. */
function byteCharacters(): readonly string[] {
  const characters: string[] = [];
  let extra = 0;
  for (let byte = 0; byte < 256; byte += 1) {
    const plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    characters.push(String.fromCodePoint(plain ? byte : 256 + extra));
    if (!plain) extra += 1;
  }
  return characters;
}

const TOKENIZER = {
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: {
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: true,
  },
  post_processor: null,
  decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    vocab: Object.fromEntries(byteCharacters().map((character, byte) => [character, byte])),
    merges: [],
  },
};

/** Makes the directory; the caller removes it. */
export function byteTokenizerDirectory(template: string): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'warmpath-bytes-'));
  writeFileSync(path.join(directory, 'tokenizer.json'), JSON.stringify(TOKENIZER));
  const config = { bos_token: '<s>', eos_token: { content: '</s>' } };
  writeFileSync(path.join(directory, 'tokenizer_config.json'), JSON.stringify(config));
  writeFileSync(path.join(directory, 'chat_template.jinja'), template);
  return directory;
}

/** The text that token ids of such a tokenizer stand for. */
export function textOfBytes(ids: Uint32Array): string {
  return Buffer.from(ids).toString('utf8');
}
