// Chats that a model's tokenizer must render and tokenise as its engine does before it is trusted
// (architecture §5). Each provokes something that templates and tokenizers get wrong: tools, tool
// calls, content parts, template arguments, whitespace, non-Latin text, special tokens in text.

/** A chat completion's body without `model`. */
export interface ProbeChat {
  readonly name: string;
  readonly body: Readonly<Record<string, unknown>>;
}

const WEATHER_TOOL = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Current weather <now> & "later" – für Zürich, 東京',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', description: 'City name' },
        days: { type: 'integer', default: 3, minimum: 0.5 },
      },
      required: ['city'],
    },
  },
} as const;

const BARE_TOOL = { type: 'function', function: { name: 'ping' } } as const;

export const PROBE_CHATS: readonly ProbeChat[] = [
  { name: 'one user message', body: { messages: [{ role: 'user', content: 'Hello!' }] } },
  {
    name: 'system prompt and several turns',
    body: {
      messages: [
        { role: 'system', content: 'You are terse.\n\nAnswer in   one line.' },
        { role: 'user', content: "What's 12345 + 67890?" },
        { role: 'assistant', content: '80235' },
        { role: 'user', content: 'And in words? ' },
      ],
    },
  },
  {
    name: 'non-Latin text, emoji and whitespace',
    body: {
      messages: [
        {
          role: 'user',
          content:
            '你好，世界。 こんにちは\n\n안녕하세요\tПривет مرحبا สวัสดี नमस्ते 👩‍👩‍👧 cafe\u0301 \u00a0x\r\n  end ',
        },
      ],
    },
  },
  {
    name: 'code and special tokens as text',
    body: {
      messages: [
        {
          role: 'user',
          content: 'def f(x):\n    return x[1:]  # <|im_end|> </s> <|eot_id|>\n\n\nprint(f("a"))',
        },
      ],
    },
  },
  {
    name: 'content parts',
    body: {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'First part.' },
            { type: 'text', text: 'Second part.' },
          ],
        },
      ],
    },
  },
  {
    name: 'tools',
    body: {
      messages: [
        { role: 'system', content: 'Use tools.' },
        { role: 'user', content: 'Weather in Zürich?' },
      ],
      tools: [WEATHER_TOOL, BARE_TOOL],
    },
  },
  {
    name: 'tool calls and their results',
    body: {
      messages: [
        { role: 'user', content: 'Weather in Zürich?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'abcdefghi',
              type: 'function',
              function: { name: 'get_weather', arguments: '{"city": "Zürich", "days": 1.0}' },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'abcdefghi', content: '{"celsius": 21.5}' },
        { role: 'assistant', content: 'It is 21.5 °C.' },
        { role: 'user', content: 'Thanks.' },
      ],
      tools: [WEATHER_TOOL],
    },
  },
  {
    name: 'template arguments',
    body: {
      messages: [{ role: 'user', content: 'Think not.' }],
      chat_template_kwargs: { enable_thinking: false },
    },
  },
  {
    name: 'continued final message',
    body: {
      messages: [
        { role: 'user', content: 'Count to five.' },
        { role: 'assistant', content: 'One, two,' },
      ],
      add_generation_prompt: false,
      continue_final_message: true,
    },
  },
];
