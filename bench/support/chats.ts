// Chats of 30 messages and about 7,200 Qwen2.5 tokens unless asked for longer ones: prose of the tokenizer's own words with
// numbers, rare compounds, lists and code in between. Seeded; a chat is named by the seed of its
// first messages and the seed of its last, so that chats can share a prefix.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Random, seededRandom } from '#contracts/random.js';

export const MESSAGES = 30;
/** Words that make a message of about 240 tokens, and a chat of about 7,200. */
export const WORDS_PER_MESSAGE = 174;

export interface ChatNames {
  /** Seed of messages before `sharedMessages`, and of those after. */
  readonly prefix: number;
  readonly suffix: number;
  readonly sharedMessages: number;
}

/** Whom a chat is for, and how long its messages are. */
export interface ChatShape {
  readonly model: string;
  readonly wordsPerMessage: number;
}

/** Words of the vocabulary that stand alone: a space, then letters. */
export function readWords(directory: string): readonly string[] {
  const file = JSON.parse(readFileSync(path.join(directory, 'tokenizer.json'), 'utf8')) as {
    readonly model: { readonly vocab: Readonly<Record<string, number>> };
  };
  return Object.keys(file.model.vocab)
    .filter((word) => /^Ġ[a-z]{2,11}$/.test(word))
    .map((word) => word.slice(1));
}

/** The JSON body of one chat completion. */
export function chatBody(
  words: readonly string[],
  { model, wordsPerMessage }: ChatShape,
  names: ChatNames,
): Buffer {
  const messages = Array.from({ length: MESSAGES }, (_, at) => {
    const seed = at < names.sharedMessages ? names.prefix : names.suffix;
    const random = seededRandom(seed * MESSAGES + at);
    const role = at === 0 ? 'system' : at % 2 === 1 ? 'user' : 'assistant';
    return { role, content: message(words, random, wordsPerMessage) };
  });
  return Buffer.from(JSON.stringify({ model, messages, stream: true, max_tokens: 256 }));
}

function message(words: readonly string[], random: Random, length: number): string {
  let text = '';
  let inSentence = 0;
  for (let count = 0; count < length; count += 1) {
    const word = words[Math.floor(random.next() * words.length)] ?? 'word';
    inSentence += 1;
    text += inSentence === 1 ? word.charAt(0).toUpperCase() + word.slice(1) : ` ${word}`;
    const draw = random.next();
    if (draw < 0.02) text += `(${word}_${Math.floor(random.next() * 1000)})`;
    else if (draw < 0.03) text += `: ${(random.next() * 1000).toFixed(2)}`;
    if (inSentence < 8 || random.next() > 0.15) continue;
    text += random.next() < 0.2 ? '.\n\n- ' : '. ';
    inSentence = 0;
  }
  return text;
}
