import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { JsonValue } from '#core/json-value.js';
import { parseRequest } from '#core/portable/prompt/parse.js';
import { ChatRenderer } from '#core/portable/prompt/render.js';
import { compileTemplate, TemplateRefusal } from '#core/portable/prompt/template-runtime.js';
import { goldenFile } from '#test/support/paths.js';

interface GoldenCase {
  readonly template: string;
  readonly name: string;
  readonly messages: readonly JsonValue[];
  readonly kwargs: Readonly<Record<string, JsonValue>>;
  readonly rendered: string;
}

const golden = JSON.parse(readFileSync(goldenFile('chat-templates-qwen.json'), 'utf8')) as {
  readonly templates: Readonly<Record<string, { readonly chat_template: string }>>;
  readonly cases: readonly GoldenCase[];
};
const today = (): Date => new Date(2026, 0, 5, 9, 7, 3);

function rendererOf(template: string): ChatRenderer {
  return new ChatRenderer({ text: template, toolUse: null }, { bos_token: '<s>' }, today);
}

function renderText(template: string, variables: Record<string, JsonValue>): string {
  return compileTemplate(template, today).render(variables);
}

/** Renders an OpenAI body through parse and normalisation, as a request goes. */
function renderBody(template: string, body: string): string {
  const result = parseRequest(Buffer.from(body), 'chat-completions');
  assert.ok(result.ok && result.request.prompt.kind === 'chat');
  return rendererOf(template).renderChat(result.request.prompt);
}

test('every golden rendering is reproduced byte for byte', () => {
  const renderers = new Map(
    Object.entries(golden.templates).map(([name, { chat_template: text }]) => [
      name,
      rendererOf(text),
    ]),
  );
  assert.equal(golden.cases.length, 36);
  for (const { template, name, messages, kwargs, rendered } of golden.cases) {
    const { tools = null, add_generation_prompt, continue_final_message, ...variables } = kwargs;
    const text = renderers.get(template)?.render({
      messages,
      tools: tools as readonly JsonValue[] | null,
      documents: null,
      addGenerationPrompt: add_generation_prompt === true,
      continueFinalMessage: continue_final_message === true,
      variables,
    });
    assert.equal(text, rendered, `${template} ${name}`);
  }
});

test('numbers and keys are printed as Python prints what the client wrote', () => {
  const body =
    '{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":' +
    '{"name":"f","parameters":{"b":1.0,"1":[1e5,1E-7,12345678901234567890,-0.0,0.1,1e16,5],"a":2}}}]}';
  assert.equal(
    renderBody('{{ tools[0] | tojson }}', body),
    '{"type": "function", "function": {"name": "f", "description": null, "parameters": ' +
      '{"b": 1.0, "1": [100000.0, 1e-07, 12345678901234567890, -0.0, 0.1, 1e+16, 5], "a": 2}}}',
  );
});

test('output tags print as Python str does', () => {
  const values = { t: true, n: null, l: ['a', 1, "it's"], d: { k: [false] }, f: 2.5 };
  assert.equal(
    renderText('{{ t }} {{ n }} {{ l }} {{ d }} {{ f }} {{ missing }}|{{ 1 ~ t ~ n }}', values),
    `True None ['a', 1, "it's"] {'k': [False]} 2.5 |1TrueNone`,
  );
});

test('string methods take the arguments Python gives them', () => {
  assert.equal(renderText("{{ s.strip('\\n') }}", { s: '\n  a \n' }), '  a ');
  assert.equal(renderText("{{ s.lstrip('\\n') }}|{{ s.rstrip('x') }}", { s: '\n ax' }), ' ax|\n a');
  assert.equal(renderText('{{ s | trim }}|{{ s | length }}', { s: '\x1c😀\ufeff ' }), '😀\ufeff|4');
  assert.equal(
    renderText("{{ '-'.join(l) }}{{ s.removeprefix('a') }}", { l: ['x', 'y'], s: 'ab' }),
    'x-yb',
  );
});

test('tojson follows json.dumps with every option', () => {
  const value = { b: 'é<', a: [1, {}], c: [] };
  assert.equal(renderText('{{ v | tojson }}', { v: value }), '{"b": "é<", "a": [1, {}], "c": []}');
  assert.equal(
    renderText('{{ v | tojson(indent=2, sort_keys=true) }}', { v: value }),
    '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": "é<",\n  "c": []\n}',
  );
  assert.equal(
    renderText("{{ v | tojson(ensure_ascii=true, separators=(',', ':')) }}", { v: value }),
    '{"b":"\\u00e9<","a":[1,{}],"c":[]}',
  );
});

test('equality is Python equality', () => {
  const template = '{{ a == none }} {{ x == none }} {{ l == m }} {{ 1 == 1.0 }} {{ n == "1" }}';
  assert.equal(
    renderText(template, { a: null, l: [{ k: 1 }], m: [{ k: 1 }], n: 1 }),
    'True False True True False',
  );
});

test('strftime_now uses the given date and English names', () => {
  const template = "{{ strftime_now('%d %B %Y, %a %-d %b %H:%M:%S %j') }}";
  assert.equal(renderText(template, {}), '05 January 2026, Mon 5 Jan 09:07:03 005');
});

test('generation blocks are transparent and trim like any block', () => {
  const template = 'a\n{%- generation -%}\n  b\n{%- endgeneration -%}\nc';
  assert.equal(renderText(template, {}), 'abc');
});

test('raise_exception refuses the request with its message', () => {
  const template = "{{ raise_exception('roles must alternate') }}";
  assert.throws(() => renderText(template, {}), new TemplateRefusal('roles must alternate'));
});

test('a template that does not end is ended, also one whose loops do nothing', () => {
  const nested = (inner: string): string =>
    '{% for a in range(90000) %}'.repeat(4) + inner + '{% endfor %}'.repeat(4);
  const macro =
    '{% macro f() %}{% for a in range(3) %}{{ f() }}{% endfor %}{% endmacro %}{{ f() }}';
  for (const template of [
    nested('{% set b = a %}'),
    nested(''),
    nested('').replaceAll(') %}', ') if a %}'),
  ]) {
    assert.throws(() => renderText(template, {}), /more than 2097152 steps/);
  }
  assert.throws(() => renderText(macro, {}), Error);
  assert.equal(renderText('{% for a in range(90000) %}{% endfor %}x', {}), 'x');
});

test('content parts reach string templates joined and looping templates as a list', () => {
  const body = JSON.stringify({
    messages: [
      { role: 'user', content: [{ type: 'text', text: 'a' }, 'b'] },
      { role: 'tool', content: [{ type: 'text', text: 'r' }], tool_call_id: 'c1' },
      { role: 'assistant', content: null, reasoning_content: 'why' },
    ],
  });
  const printing =
    '{% for m in messages %}[{{ m.content }}]{% endfor %}{{ messages[2].reasoning }}';
  assert.equal(renderBody(printing, body), '[a\nb][r][]why');
  const looping =
    '{% set all = messages[0:] %}{% for m in all if true %}{% if m.content is string %}' +
    '<{{ m.content }}>{% else %}{% for p in m["content"] | list %}({{ p.text }}){% endfor %}' +
    '{% endif %}{% endfor %}';
  assert.equal(renderBody(looping, body), '(a)(b)<r>');
});

test('tool calls are given as objects in the order of the engine', () => {
  const body = JSON.stringify({
    messages: [
      {
        role: 'assistant',
        content: '',
        tool_calls: [
          { type: 'function', function: { name: 'f', arguments: '{"x":1.0,"2":1}' }, id: 'c' },
          { type: 'function', function: { name: 'g', arguments: 'not json' }, id: 'd' },
        ],
      },
    ],
  });
  assert.equal(
    renderBody('{{ messages[0].tool_calls | tojson }}', body),
    '[{"id": "c", "function": {"arguments": {"x": 1.0, "2": 1}, "name": "f"}, "type": "function"}, ' +
      '{"id": "d", "function": {"arguments": {}, "name": "g"}, "type": "function"}]',
  );
});

test('continuing a final message cuts behind its content', () => {
  const template = "{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}</s>{% endfor %}";
  const body = JSON.stringify({
    messages: [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'so far ' },
    ],
    add_generation_prompt: false,
    continue_final_message: true,
  });
  assert.equal(renderBody(template, body), '<user>q</s><assistant>so far');
  const dropping = '{% for m in messages[:-1] %}{{ m.content }}{% endfor %}';
  assert.throws(() => renderBody(dropping, body), TemplateRefusal);
});
