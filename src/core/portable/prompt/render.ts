// The render stage: a model's own chat template, compiled once per thread, turns messages into the
// prompt text, byte for byte as transformers' apply_chat_template does. Called by encode.ts.

import type { JsonValue } from '#core/json-value.js';
import { isJsonObject } from '#core/json-value.js';
import { contentFormat } from './content-format.js';
import { type ContentFormat, normalizeMessages, normalizeTools } from './messages.js';
import type { ChatPrompt } from './parse.js';
import { strip } from './python-strings.js';
import { withoutDevelopers, withSystemFirst } from './system-messages.js';
import { EFFORT_PROBE, thinkingOffEffort, wantsSystemFirst } from './template-probes.js';
import { type CompiledTemplate, compileTemplate, TemplateRefusal } from './template-runtime.js';

/** A model's templates: `toolUse` is taken for requests with tools, where there is one. */
export interface TemplateSet {
  readonly text: string;
  readonly toolUse: string | null;
}

/** What apply_chat_template is given besides the template. */
export interface RenderInput {
  readonly messages: readonly JsonValue[];
  readonly tools: readonly JsonValue[] | null;
  readonly documents: JsonValue;
  readonly addGenerationPrompt: boolean;
  readonly continueFinalMessage: boolean;
  readonly variables: Readonly<Record<string, JsonValue | undefined>>;
}

/** Renders the chats of one model. */
export class ChatRenderer {
  readonly #main: CompiledTemplate;
  readonly #toolUse: CompiledTemplate;
  readonly #mainFormat: ContentFormat;
  readonly #toolUseFormat: ContentFormat;
  readonly #sources: TemplateSet;
  readonly #specialTokens: Readonly<Record<string, JsonValue>>;
  // Found out when first asked for.
  #systemFirst: boolean | null = null;
  #thinkingOff: string | null = null;

  /** Compiles; throws when a template cannot be parsed. */
  constructor(
    templates: TemplateSet,
    specialTokens: Readonly<Record<string, JsonValue>>,
    today: () => Date,
  ) {
    this.#sources = templates;
    this.#specialTokens = specialTokens;
    this.#main = compileTemplate(templates.text, today);
    this.#toolUse =
      templates.toolUse === null ? this.#main : compileTemplate(templates.toolUse, today);
    this.#mainFormat = contentFormat(this.#main.tree);
    this.#toolUseFormat = contentFormat(this.#toolUse.tree);
  }

  /** Renders a client's chat. Throws TemplateRefusal for what the template itself refuses. */
  renderChat(chat: ChatPrompt): string {
    const format = chat.tools === null ? this.#mainFormat : this.#toolUseFormat;
    const { conversion, templateArguments: given } = chat;
    const effort = conversion?.thinkingOff === true ? this.#effortOff() : chat.reasoningEffort;
    const merges = conversion?.mergesSystem === true && this.#wantsSystemFirst();
    const messages = normalizeMessages(merges ? withSystemFirst(chat.messages) : chat.messages, {
      format,
      callsByName: conversion?.callsByName === true,
      marksMedia: chat.hasMedia,
    });
    return this.render({
      messages: this.#knowsDevelopers(chat.tools !== null) ? messages : withoutDevelopers(messages),
      tools: chat.tools === null ? null : normalizeTools(chat.tools),
      documents: chat.documents,
      addGenerationPrompt: chat.addGenerationPrompt,
      continueFinalMessage: chat.continueFinalMessage,
      variables: {
        // An effort switches thinking on or off where the template knows that variable.
        ...(effort === null ? {} : { enable_thinking: effort !== 'none' }),
        ...given,
        ...(effort === null ? {} : { reasoning_effort: effort }),
      },
    });
  }

  #knowsDevelopers(hasTools: boolean): boolean {
    return /"developer"|'developer'/.test(this.#source(hasTools));
  }

  #source(hasTools: boolean): string {
    return hasTools ? (this.#sources.toolUse ?? this.#sources.text) : this.#sources.text;
  }

  #effortOff(): string {
    this.#thinkingOff ??= thinkingOffEffort((reasoningEffort) =>
      this.renderChat({ ...plainChat(EFFORT_PROBE), reasoningEffort }),
    );
    return this.#thinkingOff;
  }

  #wantsSystemFirst(): boolean {
    this.#systemFirst ??= [null, []].some((tools) =>
      wantsSystemFirst((messages) => {
        const chat = { ...plainChat(messages), addGenerationPrompt: false, variables: {} };
        return this.render({ ...chat, tools });
      }),
    );
    return this.#systemFirst;
  }

  /** apply_chat_template: messages are given to the template as they are. */
  render(input: RenderInput): string {
    const hasTools = input.tools !== null;
    const template = hasTools ? this.#toolUse : this.#main;
    const messages = input.continueFinalMessage ? tagged(input.messages) : input.messages;
    const text = template.render({
      ...this.#specialTokens,
      ...input.variables,
      messages,
      tools: input.tools,
      documents: input.documents ?? input.variables['documents'] ?? null,
      add_generation_prompt: input.addGenerationPrompt,
    });
    if (!input.continueFinalMessage) return text;
    return cutAtTag(text, finalText(input.messages), this.#source(hasTools));
  }
}

function plainChat(messages: readonly JsonValue[]): ChatPrompt {
  return {
    kind: 'chat',
    messages,
    tools: null,
    documents: null,
    reasoningEffort: null,
    addGenerationPrompt: true,
    continueFinalMessage: false,
    addSpecialTokens: false,
    templateArguments: {},
    hasMedia: false,
    conversion: null,
  };
}

// transformers marks the end of the final message, renders, and cuts there.
const TAG = 'CONTINUE_FINAL_MESSAGE_TAG ';

function tagged(messages: readonly JsonValue[]): readonly JsonValue[] {
  const last = messages.at(-1);
  if (!isJsonObject(last)) return messages;
  const content = last['content'];
  if (typeof content === 'string') {
    return [...messages.slice(0, -1), { ...last, content: content + TAG }];
  }
  if (!Array.isArray(content)) throw nothingToContinue();
  const at = content.findLastIndex((part) => isJsonObject(part) && 'text' in part);
  const part = content[at];
  if (!isJsonObject(part)) throw nothingToContinue();
  const parts = content.with(at, { ...part, text: `${String(part['text'])}${TAG}` });
  return [...messages.slice(0, -1), { ...last, content: parts }];
}

function finalText(messages: readonly JsonValue[]): string {
  const last = messages.at(-1);
  const content = isJsonObject(last) ? last['content'] : null;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  const part = content.findLast((one) => isJsonObject(one) && 'text' in one);
  return isJsonObject(part) ? String(part['text']) : '';
}

function cutAtTag(text: string, final: string, source: string): string {
  const at = text.lastIndexOf(TAG.trim());
  if (at < 0 || !source.includes('content') || !text.includes(strip(final, null, 'both'))) {
    throw new TemplateRefusal('continue_final_message: the template drops the final message');
  }
  const head = text.slice(0, at);
  // A template that trims the message also trims the tag's trailing space.
  return text.startsWith(TAG, at) ? head : strip(head, null, 'r');
}

function nothingToContinue(): TemplateRefusal {
  return new TemplateRefusal('continue_final_message: the final message has no text to continue');
}
