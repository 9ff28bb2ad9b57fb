// Reads what a tokenizer's directory says besides the vocabulary: chat templates, special tokens,
// and the tokens put around a text. Called by tokenize.ts when a tokenizer is loaded. Files follow
// the Hugging Face layout: tokenizer.json, tokenizer_config.json, chat_template.jinja.

import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isJsonObject, type JsonValue } from '#core/json-value.js';
import type { TemplateSet } from './render.js';

type JsonObject = { readonly [key: string]: JsonValue };

/** The parts of tokenizer.json that decide where a text may be cut. */
export interface TokenizerShape {
  readonly normalizer: JsonValue;
  readonly preTokenizer: JsonValue;
  readonly addedTokens: readonly JsonObject[];
}

export interface TokenizerFiles {
  readonly shape: TokenizerShape;
  readonly templates: TemplateSet | null;
  /** bos_token, eos_token, … as templates see them. */
  readonly specialTokens: Readonly<Record<string, JsonValue>>;
  /**
   * Texts of the tokens that the tokenizer's class puts around a text with special tokens, whatever
   * tokenizer.json says; null when the class leaves it to tokenizer.json.
   */
  readonly frame: { readonly before: string | null; readonly after: string | null } | null;
}

const SPECIAL_NAMES = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const;
/** Classes of transformers that replace the post-processor by add_bos_token and add_eos_token. */
const FRAMING_CLASSES: ReadonlySet<string> = new Set([
  'LlamaTokenizer',
  'LlamaTokenizerFast',
  'CodeLlamaTokenizer',
  'CodeLlamaTokenizerFast',
  'GemmaTokenizer',
  'GemmaTokenizerFast',
  'CohereTokenizerFast',
]);

/** Throws, naming the file, when one is missing or unreadable. */
export function readTokenizerFiles(directory: string): TokenizerFiles {
  const tokenizer = readJson(path.join(directory, 'tokenizer.json'));
  const configFile = path.join(directory, 'tokenizer_config.json');
  const config = existsSync(configFile) ? readJson(configFile) : {};
  const specialTokens = Object.fromEntries(
    SPECIAL_NAMES.flatMap((name) => {
      const text = tokenText(config[name]);
      return text === null ? [] : [[name, text]];
    }),
  );
  const added = tokenizer['added_tokens'];
  return {
    shape: {
      normalizer: tokenizer['normalizer'] ?? null,
      preTokenizer: tokenizer['pre_tokenizer'] ?? null,
      addedTokens: Array.isArray(added) ? added.filter(isJsonObject) : [],
    },
    templates: readTemplates(directory, config),
    specialTokens,
    frame: readFrame(config),
  };
}

/** A template file beside the configuration wins, as in transformers. */
function readTemplates(directory: string, config: JsonObject): TemplateSet | null {
  const file = path.join(directory, 'chat_template.jinja');
  if (existsSync(file)) return { text: readFileSync(file, 'utf8'), toolUse: null };
  const given = config['chat_template'];
  if (typeof given === 'string') return { text: given, toolUse: null };
  if (!Array.isArray(given)) return null;
  const named = new Map(
    given.filter(isJsonObject).map((entry) => [entry['name'], entry['template']]),
  );
  const text = named.get('default');
  const toolUse = named.get('tool_use');
  if (typeof text !== 'string') return null;
  return { text, toolUse: typeof toolUse === 'string' ? toolUse : null };
}

function readFrame(config: JsonObject): TokenizerFiles['frame'] {
  const tokenizerClass = config['tokenizer_class'];
  if (typeof tokenizerClass !== 'string' || !FRAMING_CLASSES.has(tokenizerClass)) return null;
  return {
    before: config['add_bos_token'] === false ? null : tokenText(config['bos_token']),
    after: config['add_eos_token'] === true ? tokenText(config['eos_token']) : null,
  };
}

/** A token is written as its text, or as an object that holds it. */
function tokenText(value: JsonValue | undefined): string | null {
  if (typeof value === 'string') return value;
  const content = isJsonObject(value) ? value['content'] : null;
  return typeof content === 'string' ? content : null;
}

function readJson(file: string): JsonObject {
  const value = JSON.parse(readFileSync(file, 'utf8')) as JsonValue;
  if (!isJsonObject(value)) throw new Error(`${file} does not hold a JSON object`);
  return value;
}
