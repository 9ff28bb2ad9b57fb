// Chats rendered as by the reference library, for both recorded templates.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ChatTemplate } from '#simulation/chat-template.js';
import { goldenFile } from '#test/support/paths.js';

interface GoldenCase {
  readonly template: string;
  readonly name: string;
  readonly messages: Record<string, unknown>[];
  readonly kwargs: Readonly<Record<string, unknown>>;
  readonly rendered: string;
}

const golden = JSON.parse(readFileSync(goldenFile('chat-templates-qwen.json'), 'utf8')) as {
  templates: Record<string, { chat_template: string }>;
  cases: GoldenCase[];
};

test('every recorded chat is rendered to the same text', () => {
  // The engine parses arguments given as text before its template sees them; the library does not.
  const cases = golden.cases.filter(
    ({ messages }) => !/"arguments":"/.test(JSON.stringify(messages)),
  );
  assert.ok(cases.length > 10 && cases.length >= golden.cases.length - 2);
  for (const { template, name, messages, kwargs, rendered } of cases) {
    const { tools, add_generation_prompt, continue_final_message, ...rest } = kwargs;
    const text = templateNamed(template).render({
      messages,
      tools: Array.isArray(tools) ? tools : null,
      addGenerationPrompt: add_generation_prompt === true,
      continueFinalMessage: continue_final_message === true,
      templateArguments: rest,
    });
    assert.equal(text, rendered, `${template} ${name}`);
  }
});

test('a final message is continued where it ends', () => {
  const messages = [
    { role: 'user', content: 'Count.' },
    { role: 'assistant', content: 'One, two' },
  ];
  const chat = { tools: null, addGenerationPrompt: false, templateArguments: {} };
  const text = templateNamed('qwen2_5').render({ ...chat, messages, continueFinalMessage: true });
  assert.ok(text.endsWith('assistant\nOne, two'), text);
});

test('text parts are joined, other parts refused, arguments of tool calls parsed', () => {
  const chat = {
    tools: null,
    addGenerationPrompt: true,
    continueFinalMessage: false,
    templateArguments: {},
  };
  const template = templateNamed('qwen2_5');
  const parts = [
    { type: 'text', text: 'one' },
    { type: 'text', text: 'two' },
  ];
  const joined = template.render({ ...chat, messages: [{ role: 'user', content: parts }] });
  assert.ok(joined.includes('user\none\ntwo<|im_end|>'), joined);
  const image = [{ type: 'image_url', image_url: { url: 'x' } }];
  assert.throws(() => template.render({ ...chat, messages: [{ role: 'user', content: image }] }));
  const call = { type: 'function', function: { name: 'f', arguments: '{"a": 1}' } };
  const called = template.render({
    ...chat,
    messages: [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: '', tool_calls: [call] },
    ],
  });
  assert.ok(called.includes('"arguments": {"a": 1}'), called);
});

function templateNamed(name: string): ChatTemplate {
  const source = golden.templates[name]?.chat_template;
  assert.ok(source !== undefined);
  return new ChatTemplate(source, {});
}
