import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JSON_DEPTH_MAX, JSON_KEYS_MAX } from '#contracts/limits.js';
import { seededRandom } from '#contracts/random.js';
import type { Route } from '#contracts/request.js';
import { isRefusal, scanJson } from '#core/portable/prompt/json-scan.js';
import { type ParsedRequest, parseRequest } from '#core/portable/prompt/parse.js';

function parsed(body: string, route: Route = 'chat-completions'): ParsedRequest {
  const result = parseRequest(Buffer.from(body), route);
  assert.ok(result.ok, result.ok ? '' : result.refusal.detail);
  return result.request;
}

function refused(body: string | Buffer, route: Route = 'chat-completions'): string {
  const result = parseRequest(Buffer.from(body), route);
  assert.ok(!result.ok, `${String(body)} was accepted`);
  assert.ok(result.refusal.detail.length > 0);
  return `${result.refusal.code} ${result.refusal.param ?? ''}`.trim();
}

/** The body as it is sent on. */
function forwarded(body: string, route: Route = 'chat-completions'): string {
  let bytes = Buffer.from(body);
  for (const { offset, length } of [...parsed(body, route).cuts].reverse()) {
    bytes = Buffer.concat([bytes.subarray(0, offset), bytes.subarray(offset + length)]);
  }
  return bytes.toString();
}

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]';

test('reads the fields routing depends on', () => {
  const body = `{"model":"m\\u00e9","stream":true,"priority":-3,"cache_salt":"s",${MESSAGES}}`;
  const request = parsed(body);
  assert.equal(request.model, 'mé');
  const name = Buffer.from(body).subarray(
    request.modelOffset,
    request.modelOffset + request.modelBytes,
  );
  assert.equal(name.toString(), '"m\\u00e9"');
  assert.deepEqual([request.stream, request.priority, request.cacheSalt], [true, -3, 's']);
  assert.equal(parsed(`{${MESSAGES}}`).model, '');
});

test('refuses what is not JSON, not UTF-8, or begins with a byte order mark', () => {
  const misspelt = '{"messages":[{"role":"user","content":"x","n":0..1}]}';
  for (const body of ['', '{', '{"a":1,}', '{"a":01}', `{${MESSAGES}`, 'nonsense', misspelt]) {
    assert.equal(refused(body), 'invalid_json', body);
  }
  for (const body of ['[1]', '"x"', 'null']) assert.equal(refused(body), 'invalid_body', body);
  assert.equal(refused(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])), 'invalid_json');
  assert.equal(refused(`\ufeff{${MESSAGES}}`), 'invalid_json');
});

test('refuses deep nesting and many keys without recursing', () => {
  assert.equal(refused('['.repeat(5_000_000)), 'body_too_deep');
  const deep = `${'['.repeat(JSON_DEPTH_MAX - 1)}${']'.repeat(JSON_DEPTH_MAX - 1)}`;
  parsed(`{${MESSAGES},"x":${deep}}`);
  assert.equal(refused(`{${MESSAGES},"x":[${deep}]}`), 'body_too_deep');
  const keys = Array.from({ length: JSON_KEYS_MAX + 1 }, (_, i) => `"k${i}":1`).join();
  assert.equal(refused(`{${keys}}`), 'body_too_deep');
});

test('refuses fields that appear twice, however they are spelt', () => {
  assert.equal(refused(`{"model":"a","mod\\u0065l":"b",${MESSAGES}}`), 'duplicate_field model');
  assert.equal(refused(`{${MESSAGES},"stream":true,"stream":false}`), 'duplicate_field stream');
  assert.equal(refused(`{${MESSAGES},"vllm_xargs":{"a":1,"a":2}}`), 'duplicate_field vllm_xargs.a');
  parsed(`{${MESSAGES},"metadata":{"model":1},"x":[{"model":1},{"model":2}]}`);
});

test('strips transfer parameters byte-exactly, with the right comma', () => {
  const kept = `${MESSAGES}, "n" : 1`;
  const kv = '"kv_transfer_params": {"a":[1,"},{"], "b":{}}';
  const ec = '"ec_transfer_params":null';
  assert.equal(forwarded(`{${kv} ,\n ${kept}}`), `{${kept}}`);
  assert.equal(forwarded(`{${kept}, ${kv} }`), `{${kept} }`);
  assert.equal(forwarded(`{"a":1,${kv},${kept},${ec}}`), `{"a":1,${kept}}`);
  assert.equal(forwarded(`{${kept} , ${kv},${ec}}`), `{${kept}}`);
  assert.equal(forwarded(`{${kv},${ec}}`, 'passthrough'), '{}');
  assert.equal(forwarded(`{"kv_transfer_p\\u0061rams":1,${kept}}`), `{${kept}}`);
  const xargs = '{"x":"y", "kv_cache_report_mode":"full"}';
  assert.equal(forwarded(`{"vllm_xargs":${xargs},${kept}}`), `{"vllm_xargs":{"x":"y"},${kept}}`);
  assert.equal(
    forwarded(`{${kept},"vllm_xargs":{"kv_cache_report_mode":"full"}}`),
    `{${kept},"vllm_xargs":{}}`,
  );
});

test('cut bodies stay the same JSON without the stripped members (random)', () => {
  const seed = 20261121;
  const random = seededRandom(seed);
  const pick = (count: number): number => Math.floor(random.next() * count);
  const values = ['1', 'true', '"},{\\""', '[1,{"a":"]"}]', '{"x":{}}', 'null', '-1.5e3', '""'];
  const names = ['a', 'kv_transfer_params', 'b', 'ec_transfer_params', 'c', 'd'];
  const space = (): string => ['', ' ', '\n\t'][pick(3)] ?? '';
  for (let round = 0; round < 500; round += 1) {
    const chosen = names.filter(() => pick(2) === 0);
    const text = chosen
      .map(
        (name) =>
          `${space()}"${name}"${space()}:${space()}${values[pick(values.length)]}${space()}`,
      )
      .join(',');
    const body = `{${text}${space()}}`;
    const expected = JSON.parse(body) as Record<string, unknown>;
    delete expected['kv_transfer_params'];
    delete expected['ec_transfer_params'];
    const actual = JSON.parse(forwarded(body, 'passthrough')) as unknown;
    assert.deepEqual(actual, expected, `seed ${seed}, body ${body}`);
  }
});

test('refuses templates of the client', () => {
  assert.equal(refused(`{${MESSAGES},"chat_template":"x"}`), 'template_not_allowed chat_template');
  assert.equal(
    refused(`{${MESSAGES},"chat_template_kwargs":{"chat_template":"x"}}`),
    'template_not_allowed chat_template_kwargs.chat_template',
  );
  parsed(`{${MESSAGES},"chat_template":null,"chat_template_kwargs":{"enable_thinking":false}}`);
});

test('names the field that has the wrong type', () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['{}', 'messages'],
    ['{"messages":"x"}', 'messages'],
    ['{"messages":[]}', 'messages'],
    ['{"messages":["x"]}', 'messages[0]'],
    ['{"messages":[{"content":"x"}]}', 'messages[0].role'],
    ['{"messages":[{"role":"user","content":5}]}', 'messages[0].content'],
    ['{"messages":[{"role":1.0,"content":"x"}]}', 'messages[0].role'],
    ['{"messages":[{"role":"user","content":1e5}]}', 'messages[0].content'],
    [`{"model":5,${MESSAGES}}`, 'model'],
    [`{"stream":"yes",${MESSAGES}}`, 'stream'],
    [`{"priority":1.5,${MESSAGES}}`, 'priority'],
    [`{"cache_salt":"",${MESSAGES}}`, 'cache_salt'],
    [`{"cache_salt":"${'x'.repeat(1025)}",${MESSAGES}}`, 'cache_salt'],
    [`{"tools":{},${MESSAGES}}`, 'tools'],
    [`{"continue_final_message":true,${MESSAGES}}`, 'continue_final_message'],
  ];
  for (const [body, param] of wrong) assert.equal(refused(body), `invalid_body ${param}`, body);
});

test('reads every form of a completion prompt', () => {
  const prompt = (text: string): ParsedRequest['prompt'] =>
    parsed(`{"prompt":${text}}`, 'completions').prompt;
  assert.deepEqual(prompt('"a"'), { kind: 'text', text: 'a', addSpecialTokens: true });
  assert.deepEqual(prompt('["a"]'), { kind: 'text', text: 'a', addSpecialTokens: true });
  assert.deepEqual(prompt('[1,2]'), { kind: 'tokens', tokenIds: Uint32Array.of(1, 2) });
  assert.deepEqual(prompt('[[3]]'), { kind: 'tokens', tokenIds: Uint32Array.of(3) });
  assert.deepEqual(prompt('["a","b"]'), { kind: 'none', reason: 'several-prompts' });
  assert.deepEqual(prompt('[[1],[2]]'), { kind: 'none', reason: 'several-prompts' });
  for (const [text, param] of [
    ['5', 'prompt'],
    ['[]', 'prompt'],
    ['[[]]', 'prompt[0]'],
    ['[1,-2]', 'prompt[1]'],
    ['[1.5]', 'prompt[0]'],
    ['["a",{}]', 'prompt[1]'],
  ] as const) {
    assert.equal(refused(`{"prompt":${text}}`, 'completions'), `invalid_body ${param}`, text);
  }
});

test('what only the engine can render is not matched', () => {
  const part = '{"type":"image_url","image_url":{"url":"http://x"}}';
  const image = parsed(`{"messages":[{"role":"user","content":[${part}]}]}`);
  assert.ok(image.prompt.kind === 'chat' && image.prompt.hasMedia);
  for (const extra of ['"mm_processor_kwargs":{}', '"truncate_prompt_tokens":5']) {
    assert.deepEqual(parsed(`{${MESSAGES},${extra}}`).prompt, {
      kind: 'none',
      reason: 'extra-keys',
    });
  }
  const embeds = parsed('{"prompt_embeds":"x"}', 'completions');
  assert.deepEqual(embeds.prompt, { kind: 'none', reason: 'extra-keys' });
});

test('requests of other APIs are read as chats, or left to the engine', () => {
  const fields = '"model":"m","cache_salt":"s","stream":true';
  const asked = parsed(`{${fields},"messages":[{"role":"user","content":"x"}]}`, 'messages');
  assert.deepEqual([asked.model, asked.cacheSalt, asked.stream], ['m', 's', true]);
  assert.ok(asked.prompt.kind === 'chat' && asked.prompt.conversion?.mergesSystem);
  const image =
    '{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}';
  const seen = parsed(`{"messages":[{"role":"user","content":[${image}]}]}`, 'messages');
  assert.deepEqual(seen.media.contents, ['data:image/png;base64,aGk=']);
  const unread = { kind: 'none', reason: 'prompt-not-read' };
  const bodies = ['{"messages":5}', '{"messages":[]}', '{}', '[]', ''];
  for (const body of bodies) assert.deepEqual(parsed(body, 'messages').prompt, unread, body);
  for (const body of ['{"input":{}}', '{"input":[],"tools":5}', '']) {
    assert.deepEqual(parsed(body, 'responses').prompt, unread, body);
  }
  const own = '{"input":"x","chat_template_kwargs":{"chat_template":"y"}}';
  assert.match(refused(own, 'responses'), /^template_not_allowed /);
  assert.equal(refused('{"input":', 'responses'), 'invalid_json');
});

test('other routes need no JSON at all', () => {
  const form = parsed('--boundary\r\nContent-Disposition: form-data', 'passthrough');
  assert.deepEqual(form.prompt, { kind: 'none', reason: 'not-a-prompt' });
  assert.equal(parsed('', 'passthrough').model, '');
  const embedding = parsed('{"model":"e","input":"x","stream":null}', 'passthrough');
  assert.deepEqual([embedding.model, embedding.stream], ['e', false]);
  assert.equal(refused('{"model":"e"', 'passthrough'), 'invalid_json');
});

test('scanning random bytes never throws', () => {
  const seed = 7;
  const random = seededRandom(seed);
  const alphabet = Buffer.from('{}[]",:\\u0ae19.-tfn \n');
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.from(
      Array.from({ length: Math.floor(random.next() * 40) }, () => {
        return alphabet[Math.floor(random.next() * alphabet.length)] ?? 0;
      }),
    );
    const scan = scanJson(bytes, 'passthrough');
    if (isRefusal(scan)) continue;
    for (const member of scan.members) assert.ok(member.end <= bytes.length, `seed ${seed}`);
    parseRequest(bytes, 'passthrough');
  }
});
