// Renders chats as vLLM does before tokenising: the model's own template, content parts joined,
// tool call arguments as objects, `continue_final_message` by cutting at a marker. Called by the
// tokenizer of the simulated engine; shares no code with the router's rendering.

import { Template } from '@huggingface/jinja';

/** The fields of a chat request that reach the template. */
export interface ChatInput {
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly tools: readonly unknown[] | null;
  readonly addGenerationPrompt: boolean;
  readonly continueFinalMessage: boolean;
  /** `chat_template_kwargs`: further variables of the template. */
  readonly templateArguments: Readonly<Record<string, unknown>>;
}

/** Marks the end of the final message; not a text that any chat contains. */
const CONTINUE_MARKER = '\u{e000}CONTINUE_FINAL_MESSAGE\u{e000}';

export class ChatTemplate {
  readonly #template: Template;
  readonly #specialTokens: Readonly<Record<string, string>>;
  /** The template itself walks content parts; then they are not joined. */
  readonly #takesParts: boolean;

  /** `specialTokens`: variables like `bos_token` that every template sees. */
  constructor(source: string, specialTokens: Readonly<Record<string, string>>) {
    this.#template = new Template(source);
    this.#specialTokens = specialTokens;
    this.#takesParts = /\bin\s+message(\.content|\[['"]content['"]\])/.test(source);
  }

  /** Throws what the template raises, e.g. on roles in the wrong order. */
  render(chat: ChatInput): string {
    const messages = chat.messages.map((message) => this.#normalise(message));
    if (chat.continueFinalMessage) markFinal(messages);
    const rendered = this.#template.render({
      ...this.#specialTokens,
      ...chat.templateArguments,
      messages,
      tools: chat.tools,
      add_generation_prompt: chat.addGenerationPrompt,
    });
    return chat.continueFinalMessage ? cutAtMarker(rendered) : rendered;
  }

  #normalise(message: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const normal: Record<string, unknown> = { ...message };
    if (Array.isArray(message['content']) && !this.#takesParts) {
      normal['content'] = message['content'].map(partText).join('\n');
    }
    if (Array.isArray(message['tool_calls'])) {
      normal['tool_calls'] = message['tool_calls'].map(withParsedArguments);
    }
    return normal;
  }
}

function partText(part: unknown): string {
  if (typeof part === 'string') return part;
  if (!isRecord(part) || typeof part['text'] !== 'string') {
    throw new Error('only text content parts are supported by this model');
  }
  return part['text'];
}

function withParsedArguments(toolCall: unknown): unknown {
  if (!isRecord(toolCall) || !isRecord(toolCall['function'])) return toolCall;
  const text = toolCall['function']['arguments'] ?? '';
  if (typeof text !== 'string') return toolCall;
  const parsed: unknown = text === '' ? {} : JSON.parse(text);
  return { ...toolCall, function: { ...toolCall['function'], arguments: parsed } };
}

function markFinal(messages: Record<string, unknown>[]): void {
  const last = messages.at(-1);
  if (last === undefined || typeof last['content'] !== 'string') {
    throw new Error('continue_final_message needs a final message with text');
  }
  last['content'] = `${last['content']}${CONTINUE_MARKER}`;
}

function cutAtMarker(rendered: string): string {
  const end = rendered.lastIndexOf(CONTINUE_MARKER);
  if (end < 0) throw new Error('the chat template changes the final message; it cannot continue');
  return rendered.slice(0, end);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
