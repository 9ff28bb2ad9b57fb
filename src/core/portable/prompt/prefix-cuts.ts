// Where a text may be cut so that its tokens are the tokens of the parts: beside added tokens, and,
// for tokenizers of the GPT-4 regex family, where no alternative of the pattern can cross. Used by
// prefix-store.ts; tokenize.ts tests the rule on random cuts before it is trusted.

import { isJsonObject, type JsonValue } from '#core/json-value.js';
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
/** Characters a cut is first looked for in; words and lines end well within. */
const FIRST_WINDOW = 256;
const FLAGS = ['lstrip', 'rstrip', 'single_word', 'normalized'] as const;
/** Letters that may stand at a cut: no surrogates, no marks, nothing that composes with a space. */
const LETTER = /^\p{L}$/u;

/** Null when a text of this tokenizer must not be cut at all. */
export function textCutter(shape: TokenizerShape): TextCutter | null {
  if (!cutsAtTokens(shape)) return null;
  const contents = shape.addedTokens.map((token) => String(token['content'])).filter(Boolean);
  const plain = shape.addedTokens.filter((token) => FLAGS.every((flag) => token[flag] !== true));
  const cuttable = new Set(plain.map((token) => String(token['content'])));
  const tokens = contents.length === 0 ? null : tokenFinder(contents, cuttable);
  const byText = cutsInText(shape, contents);
  return {
    rule: byText ? 'text' : 'tokens',
    next: (text, start, from) => {
      // Both are looked for in growing windows: else the rarer one would be searched through the
      // whole rest of the text for every cut, which is quadratic.
      for (let window = FIRST_WINDOW; ; window *= 2) {
        const last = Math.min(from + window, text.length - 1);
        const inText = byText ? nextTextCut(text, from, last) : -1;
        const end = inText < 0 ? last : inText;
        const atToken = tokens === null ? -1 : nextTokenCut(text, { start, from, end }, tokens);
        if (atToken >= 0) return atToken;
        if (inText >= 0 || last === text.length - 1) return inText;
      }
    },
  };
}

/** What finds added tokens in a text. */
interface TokenFinder {
  readonly pattern: RegExp;
  /** Tokens behind which a text may be cut. */
  readonly cuttable: ReadonlySet<string>;
  /** UTF-16 units of the longest token. */
  readonly longest: number;
}

/** All added tokens, longest first, behind a test for their first characters. */
function tokenFinder(contents: readonly string[], cuttable: ReadonlySet<string>): TokenFinder {
  const firsts = [...new Set(contents.map((content) => escaped([...content][0] ?? '')))];
  const longestFirst = [...contents].sort((a, b) => b.length - a.length);
  const alternatives = longestFirst.map(escaped).join('|');
  const pattern = new RegExp(`(?=${firsts.join('|')})(?:${alternatives})`, 'gu');
  return { pattern, cuttable, longest: longestFirst[0]?.length ?? 0 };
}

/** End of the first added token that ends in [from, end]. Scans from a cut, so none is missed. */
function nextTokenCut(
  text: string,
  { start, from, end }: { readonly start: number; readonly from: number; readonly end: number },
  { pattern, cuttable, longest }: TokenFinder,
): number {
  // A token that begins before `end` is seen whole: cut off, it could pass for a shorter one.
  const seen = text.slice(start, end + longest);
  pattern.lastIndex = 0;
  for (let match = pattern.exec(seen); match !== null; match = pattern.exec(seen)) {
    const after = start + match.index + match[0].length;
    if (after > end) return -1;
    if (after >= from && cuttable.has(match[0])) return after;
  }
  return -1;
}

/** After a newline before a letter, or between a letter and a space that a letter follows. */
function nextTextCut(text: string, from: number, last: number): number {
  for (let at = Math.max(from, 1); at <= last; at += 1) {
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
