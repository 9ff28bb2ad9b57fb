// Seeded multi-turn workload: chats with shared system prompts and tools, salted ones, repeated
// block-aligned completions. What a fleet sees, small enough for a test.

import type { Random } from '#contracts/random.js';

/** One request to send; `turn` gets the engine's answer so that the conversation can go on. */
export interface WorkloadRequest {
  readonly path: '/v1/chat/completions' | '/v1/completions' | '/v1/messages' | '/v1/responses';
  readonly body: Record<string, unknown>;
  readonly kind: 'chat' | 'tools' | 'salted' | 'aligned' | 'messages' | 'responses';
  readonly turn: (answer: string) => void;
}

export interface WorkloadOptions {
  readonly model: string;
  readonly random: Random;
  /** Conversations open at the same time; the least recently used ones come back after evictions. */
  readonly conversations: number;
  /** Words of a system prompt and of a user turn. */
  readonly systemWords: number;
  readonly turnWords: number;
  readonly blockSize: number;
  readonly maxTokens: number;
  /** Turns after which a conversation is replaced by a new one. */
  readonly turnsMax: number;
}

interface Conversation {
  readonly kind: WorkloadRequest['kind'];
  readonly salt: string | null;
  readonly promptIds: readonly number[];
  messages: Record<string, unknown>[];
  turns: number;
}

const WORDS = (
  'the cache holds a block of keys for every prompt that a server has seen and the router sends the ' +
  'next request there because reading is cheaper than computing again 缓存 кэш mémoire 日本語 naïve ' +
  'function return const value 12345 3.14 { } => && "quoted" tab\tnew\nline'
).split(' ');

const TOOLS = [
  {
    type: 'function',
    function: {
      name: 'look_up',
      description: 'Looks a word up in the dictionary — "fast" & <safe>.',
      parameters: {
        type: 'object',
        properties: { word: { type: 'string' }, limit: { type: 'integer', default: 3 } },
        required: ['word'],
      },
    },
  },
];

/** Endless stream of requests; the same seed gives the same requests for the same answers. */
export function* workload(options: WorkloadOptions): Generator<WorkloadRequest> {
  const systems = Array.from({ length: 4 }, () => words(options.random, options.systemWords));
  const open: Conversation[] = [];
  for (;;) {
    const at = Math.floor(options.random.next() * options.conversations);
    let conversation = open[at];
    if (conversation === undefined || conversation.turns >= options.turnsMax) {
      conversation = begin(options, systems);
      open[at] = conversation;
    }
    yield next(options, conversation);
  }
}

function begin(options: WorkloadOptions, systems: readonly string[]): Conversation {
  const dice = options.random.next();
  const kind = dice < 0.5 ? 'chat' : dice < 0.7 ? 'tools' : dice < 0.85 ? 'salted' : 'aligned';
  const system = systems[Math.floor(options.random.next() * systems.length)] ?? '';
  const blocks = 3 + Math.floor(options.random.next() * 6);
  const first = Math.floor(options.random.next() * 50_000);
  return {
    kind,
    salt: kind === 'salted' ? `tenant-${Math.floor(options.random.next() * 3)}` : null,
    promptIds: Array.from({ length: blocks * options.blockSize }, (_, index) => first + index * 7),
    messages: [{ role: 'system', content: system }],
    turns: 0,
  };
}

function next(options: WorkloadOptions, conversation: Conversation): WorkloadRequest {
  conversation.turns += 1;
  if (conversation.kind === 'aligned') {
    return {
      path: '/v1/completions',
      kind: 'aligned',
      body: { model: options.model, prompt: conversation.promptIds, max_tokens: options.maxTokens },
      turn: () => {},
    };
  }
  conversation.messages.push({ role: 'user', content: words(options.random, options.turnWords) });
  const body: Record<string, unknown> = {
    model: options.model,
    messages: [...conversation.messages],
    max_tokens: options.maxTokens,
  };
  if (conversation.kind === 'tools') body['tools'] = TOOLS;
  if (conversation.salt !== null) body['cache_salt'] = conversation.salt;
  return {
    path: '/v1/chat/completions',
    kind: conversation.kind,
    body,
    turn: (answer) => conversation.messages.push({ role: 'assistant', content: answer }),
  };
}

function words(random: Random, count: number): string {
  return Array.from({ length: count }, () => WORDS[Math.floor(random.next() * WORDS.length)]).join(
    ' ',
  );
}
