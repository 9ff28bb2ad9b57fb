import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PROMPT_CHARACTERS_MAX } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import { type TextCutter, textCutter } from '#core/portable/prompt/prefix-cuts.js';

const TOKENS = ['<|im_start|>', '<|im_end|>', '<|im', '<a>', '<a>b'];
const PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

function qwenCutter(): TextCutter {
  const cutter = textCutter({
    normalizer: { type: 'NFC' },
    preTokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: PATTERN }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    addedTokens: TOKENS.map((content) => ({ content })),
  });
  assert.ok(cutter !== null && cutter.rule === 'text');
  return cutter;
}

/** The rule, position by position: added tokens are found from `start` on, the longest first. */
function plainCut(text: string, start: number, from: number): number {
  const longestFirst = [...TOKENS].sort((a, b) => b.length - a.length);
  const afterTokens = new Set<number>();
  for (let at = start; at < text.length; ) {
    const token = longestFirst.find((content) => text.startsWith(content, at));
    at += token?.length ?? 1;
    if (token !== undefined) afterTokens.add(at);
  }
  for (let at = from; at < text.length; at += 1) {
    const [before = '', here = '', behind = ''] = [text[at - 1], text[at], text[at + 1]];
    const letter = /^\p{L}$/u;
    if (afterTokens.has(at) || (before === '\n' && letter.test(here))) return at;
    if (here === ' ' && letter.test(before) && letter.test(behind)) return at;
  }
  return -1;
}

test('a cut is the first place the rule allows, however far away it is', () => {
  const cutter = qwenCutter();
  const seed = 20261121;
  const random = seededRandom(seed);
  const parts = [
    ...TOKENS,
    '.',
    ' ',
    '\n',
    'word',
    '漢字',
    '😀',
    '<',
    '7',
    '.'.repeat(300),
    ' '.repeat(700),
  ];
  for (let round = 0; round < 2000; round += 1) {
    let text = '';
    const length = random.next() * 20;
    while (text.length < length * 50 && text.length < length * 200) {
      text += parts[Math.floor(random.next() * parts.length)];
    }
    const from = 1 + Math.floor(random.next() * text.length);
    assert.equal(
      cutter.next(text, 0, from),
      plainCut(text, 0, from),
      `seed ${seed} round ${round}: ${JSON.stringify(text)} from ${from}`,
    );
  }
});

test('the longest texts are cut in one pass, whichever kind of cut they lack', () => {
  // Were the missing kind searched to the end of the text for every cut, each would take a minute.
  const cutter = qwenCutter();
  for (const part of ['<|im_start|>', 'word ', 'Some line.\n']) {
    const text = part.repeat(PROMPT_CHARACTERS_MAX / part.length);
    let cuts = 0;
    for (let start = 0; text.length - start > 2048; cuts += 1) {
      const cut = cutter.next(text, start, start + 1024);
      assert.ok(cut >= start + 1024 && cut <= start + 1024 + part.length, `${start} to ${cut}`);
      start = cut;
    }
    assert.ok(cuts > 3900);
  }
});
