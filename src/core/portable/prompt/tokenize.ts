// The tokenize stage: one loaded tokenizer with its chat templates, token ids exactly as the
// reference library gives them. Each prompt worker loads its own copy (the package cannot share one
// between threads), lazily, once per directory. Called by encode.ts and prefix-store.ts.

import path from 'node:path';
import { Tokenizer } from 'tokenizers';
import type { Random } from '#contracts/random.js';
import { type TextCutter, textCutter } from './prefix-cuts.js';
import { ChatRenderer } from './render.js';
import { readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.js';

export interface LoadedTokenizer {
  /** Null when the files bring no chat template. */
  readonly renderer: ChatRenderer | null;
  /** Null when texts may not be cut, by their kind or because the self-test failed. */
  readonly cutter: TextCutter | null;
  /** Ids put before and after a text with special tokens; null when they depend on the text. */
  readonly frame: { readonly before: Uint32Array; readonly after: Uint32Array } | null;
  /** Token ids of one text. */
  encode(text: string, addSpecialTokens: boolean): Promise<Uint32Array>;
  /** Token ids of several texts, without special tokens, in parallel. */
  encodeParts(parts: readonly string[]): Promise<readonly Uint32Array[]>;
}

/** Random cuts tried before the cutting rule is trusted. */
const SELF_TEST_CUTS = 96;
/** Pieces the self-test puts texts together from: what has broken cutting rules before. */
const SAMPLES: readonly string[] = [
  'The quick brown fox',
  ' jumps over',
  " it's we'll DON'T",
  '\n',
  '\n\n  ',
  '\r\n',
  ' \n \t',
  '  indented code(x, y);\n',
  '12345 678',
  '中文字符，没有空格。',
  ' 日本語テキスト',
  '\nПривет мир',
  ' مرحبا بالعالم',
  ' สวัสดี',
  '한국어 조합',
  '👩‍👩‍👧 🇩🇪',
  'e\u0301 \u0301a a\u030a',
  '\u00a0\u2003\u200b',
  '...!!! --- "quoted"',
  '\u0000\u0001',
  ' a b c\nd e\n\nf',
  '</s> <|x|>',
];

/** Loads a directory; throws, naming the file, when it cannot. Takes 0.3 to 2 s of the thread. */
export async function loadTokenizer(
  directory: string,
  context: { readonly today: () => Date; readonly random: Random },
): Promise<LoadedTokenizer> {
  const files = readTokenizerFiles(directory);
  const tokenizer = Tokenizer.fromFile(path.join(directory, 'tokenizer.json'));
  // Limits in the file are for training; engines encode whole prompts.
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  const encodeParts = async (parts: readonly string[]): Promise<readonly Uint32Array[]> => {
    const encodings = await tokenizer.encodeBatch([...parts], { addSpecialTokens: false });
    return encodings.map((encoding) => Uint32Array.from(encoding.getIds()));
  };
  const encodeRaw = async (text: string, addSpecialTokens: boolean): Promise<Uint32Array> =>
    Uint32Array.from((await tokenizer.encode(text, null, { addSpecialTokens })).getIds());
  const frame = classFrame(tokenizer, files) ?? (await probedFrame(encodeRaw));
  const cutter = textCutter(files.shape);
  const passes =
    cutter !== null && (await cutsAreExact(cutter, encodeParts, files, context.random));
  const { templates, specialTokens } = files;
  return {
    renderer: templates === null ? null : new ChatRenderer(templates, specialTokens, context.today),
    cutter: passes ? cutter : null,
    frame,
    encodeParts,
    encode: async (text, addSpecialTokens) => {
      if (!addSpecialTokens || frame === null) return encodeRaw(text, addSpecialTokens);
      const ids = await encodeRaw(text, false);
      return Uint32Array.of(...frame.before, ...ids, ...frame.after);
    },
  };
}

/** The frame a class of transformers adds, whatever tokenizer.json says. */
function classFrame(tokenizer: Tokenizer, files: TokenizerFiles): LoadedTokenizer['frame'] {
  if (files.frame === null) return null;
  const ids = (text: string | null): Uint32Array => {
    const id = text === null ? null : tokenizer.tokenToId(text);
    return id === null ? new Uint32Array(0) : Uint32Array.of(id);
  };
  return { before: ids(files.frame.before), after: ids(files.frame.after) };
}

/** The frame seen around two texts; null when it is not the same around both. */
async function probedFrame(
  encode: (text: string, addSpecialTokens: boolean) => Promise<Uint32Array>,
): Promise<LoadedTokenizer['frame']> {
  let frame: LoadedTokenizer['frame'] = null;
  for (const text of ['a', 'b c']) {
    const plain = await encode(text, false);
    const framed = await encode(text, true);
    const extra = framed.length - plain.length;
    const before: number = frame?.before.length ?? leadingExtra(framed, plain, extra);
    const found: LoadedTokenizer['frame'] & object = {
      before: framed.slice(0, before),
      after: framed.slice(before + plain.length),
    };
    if (extra < 0 || !equalIds(framed.subarray(before, before + plain.length), plain)) return null;
    if (frame !== null && !equalIds(frame.after, found.after)) return null;
    if (frame !== null && !equalIds(frame.before, found.before)) return null;
    frame = found;
  }
  return frame;
}

function leadingExtra(framed: Uint32Array, plain: Uint32Array, extra: number): number {
  for (let start = 0; start <= extra; start += 1) {
    if (equalIds(framed.subarray(start, start + plain.length), plain)) return start;
  }
  return 0;
}

/** Compares tokens(whole) with tokens(left) + tokens(right) at random places the rule allows. */
async function cutsAreExact(
  cutter: TextCutter,
  encodeParts: LoadedTokenizer['encodeParts'],
  files: TokenizerFiles,
  random: Random,
): Promise<boolean> {
  const tokens = files.shape.addedTokens.map((token) => String(token['content']));
  const pick = (list: readonly string[]): string =>
    list[Math.floor(random.next() * list.length)] ?? '';
  const parts: string[] = [];
  for (let cut = 0; cut < SELF_TEST_CUTS; cut += 1) {
    let text = '';
    while (text.length < 120) text += random.next() < 0.2 ? pick(tokens) : pick(SAMPLES);
    const at = cutter.next(text, 0, Math.floor(random.next() * 100));
    if (at > 0) parts.push(text, text.slice(0, at), text.slice(at));
  }
  const ids = await encodeParts(parts);
  for (let i = 0; i + 2 < ids.length; i += 3) {
    const [whole, left, right] = [ids[i], ids[i + 1], ids[i + 2]];
    if (whole === undefined || left === undefined || right === undefined) return false;
    if (!equalIds(whole, Uint32Array.of(...left, ...right))) return false;
  }
  return true;
}

export function equalIds(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((id, at) => id === b[at]);
}
