// Where a text may be cut so that its tokens are the tokens of the parts: beside added tokens, and,
// for tokenizers of the GPT-4 regex family, where no alternative of the pattern can cross. Used by
// prefix-store.ts; tokenize.ts tests the rule on random cuts before it is trusted.

import { isJsonObject, type JsonValue } from './json-value.js';
import type { TokenizerShape } from './tokenizer-files.js';

/** Finds cuts in one tokenizer's texts. Positions are UTF-16 offsets. */
export interface TextCutter {
  /** Whether texts are cut between words too, or beside added tokens only. */
  readonly rule: 'text' | 'tokens';
  /** First safe position ≥ `from` and < the text's end, −1 for none; `start` is itself a cut. */
  next(text: string, start: number, from: number): number;
}

/** Pre-tokenizers whose letter runs end at a space and that never cross a newline into a letter. */
const KNOWN_PATTERNS: readonly RegExp[] = [
  // Qwen, Llama 3 and whatever else has exactly this form; they differ in how digits are grouped.
  /^\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)\|\[\^\\r\\n\\p\{L\}\\p\{N\}\]\?\\p\{L\}\+\|\\p\{N\}(?:\{1,[23]\})?\| \?\[\^\\s\\p\{L\}\\p\{N\}\]\+\[\\r\\n\]\*\|\\s\*\[\\r\\n\]\+\|\\s\+\(\?!\\S\)\|\\s\+$/,
];
const FLAGS = ['lstrip', 'rstrip', 'single_word', 'normalized'] as const;
/** Letters that may stand at a cut: no surrogates, no marks, nothing that composes with a space. */
const LETTER = /^\p{L}$/u;

/** Null when a text of this tokenizer must not be cut at all. */
export function textCutter(shape: TokenizerShape): TextCutter | null {
  if (!cutsAtTokens(shape)) return null;
  const contents = shape.addedTokens.map((token) => String(token['content'])).filter(Boolean);
  const plain = shape.addedTokens.filter((token) => FLAGS.every((flag) => token[flag] !== true));
  const cuttable = new Set(plain.map((token) => String(token['content'])));
  const pattern = contents.length === 0 ? null : tokenPattern(contents);
  const longest = Math.max(0, ...contents.map((content) => content.length));
  const byText = cutsInText(shape, contents);
  return {
    rule: byText ? 'text' : 'tokens',
    next: (text, start, from) => {
      const inText = byText ? nextTextCut(text, from) : -1;
      if (pattern === null) return inText;
      const end = inText < 0 ? text.length - 1 : inText;
      // No further than a token that begins before the end: or every cut would search all the text.
      const part = text.slice(start, end + longest);
      const atToken = nextTokenCut(part, from - start, end - start, pattern, cuttable);
      return atToken < 0 ? inText : start + atToken;
    },
  };
}

/** All added tokens, longest first, behind a test for their first characters. */
function tokenPattern(contents: readonly string[]): RegExp {
  const firsts = [...new Set(contents.map((content) => escaped([...content][0] ?? '')))];
  const longestFirst = [...contents].sort((a, b) => b.length - a.length).map(escaped);
  return new RegExp(`(?=${firsts.join('|')})(?:${longestFirst.join('|')})`, 'gu');
}

/** End of the first added token that ends in [from, end]; `text` begins at a cut, so none is missed. */
function nextTokenCut(
  text: string,
  from: number,
  end: number,
  pattern: RegExp,
  cuttable: ReadonlySet<string>,
): number {
  pattern.lastIndex = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const after = match.index + match[0].length;
    if (after > end) return -1;
    if (after >= from && cuttable.has(match[0])) return after;
  }
  return -1;
}

/** After a newline before a letter, or between a letter and a space that a letter follows. */
function nextTextCut(text: string, from: number): number {
  for (let at = Math.max(from, 1); at < text.length; at += 1) {
    const here = text.charCodeAt(at);
    const before = text.charCodeAt(at - 1);
    if (before === 0x0a && isLetter(here)) return at;
    if (here === 0x20 && isLetter(before) && isLetter(text.charCodeAt(at + 1))) return at;
  }
  return -1;
}

function isLetter(code: number): boolean {
  if (code < 0x80) return (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
  if (code >= 0xd800 && code <= 0xdfff) return false;
  return LETTER.test(String.fromCharCode(code));
}

/** Metaspace and prefix spaces depend on where a text begins: parts would get their own. */
function cutsAtTokens(shape: TokenizerShape): boolean {
  const parts = JSON.stringify([shape.normalizer, shape.preTokenizer]);
  if (/"type":"(Metaspace|Prepend|Precompiled|Strip|BertNormalizer)"/.test(parts)) return false;
  return !/"add_prefix_space":true/.test(parts);
}

function cutsInText(shape: TokenizerShape, tokens: readonly string[]): boolean {
  if (shape.addedTokens.some((token) => FLAGS.some((flag) => token[flag] === true))) return false;
  // An added token with a space or newline inside could lie across a cut.
  if (tokens.some((token) => /\s/.test(token))) return false;
  const normalizer = isJsonObject(shape.normalizer) ? shape.normalizer['type'] : null;
  if (normalizer !== null && normalizer !== 'NFC') return false;
  const pattern = splitPattern(shape.preTokenizer);
  return pattern !== null && KNOWN_PATTERNS.some((known) => known.test(pattern));
}

/** The regex of a pre-tokenizer that splits by one regex and then maps bytes. */
function splitPattern(preTokenizer: JsonValue): string | null {
  const steps = isJsonObject(preTokenizer) ? preTokenizer['pretokenizers'] : null;
  if (!Array.isArray(steps) || steps.length !== 2) return null;
  const [split, bytes] = steps;
  if (!isJsonObject(split) || !isJsonObject(bytes)) return null;
  if (split['type'] !== 'Split' || bytes['type'] !== 'ByteLevel') return null;
  if (split['behavior'] !== 'Isolated' || bytes['use_regex'] !== false) return null;
  const pattern = isJsonObject(split['pattern']) ? split['pattern']['Regex'] : null;
  return typeof pattern === 'string' ? pattern : null;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
