import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { RUN_VARIABLES, SETTING_NAMES, SETTINGS } from '../../src/config/settings.ts';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import { MANAGEMENT_ACTIONS } from '../../src/operators/management-actions.ts';
import { contract, operations } from '../openapi/contract.ts';
import { blocksOf, codeSpansOf, DOCUMENTS, ROOT, tableAfter, textOf } from './documents.ts';

const readme = textOf('README.md');

test('the two commands stand at the top', () => {
  const [first] = blocksOf(readme, 'sh');
  assert.equal(first, 'npm ci && npm start\nnpm ci && npm test\n');
  assert.ok(readme.indexOf('npm ci && npm start') < 400);
});

test('the table of settings is that of the code', () => {
  const expected = SETTINGS.map(({ name, meaning, fallback, secret }) => [
    `\`${name}\`${secret ? ' ¹' : ''}`,
    meaning,
    fallback.replaceAll('<', '&lt;'),
  ]);
  assert.deepEqual(tableAfter(readme, '<!-- settings -->'), expected);
});

for (const path of DOCUMENTS) {
  const text = textOf(path);

  test(`${path} names only settings that there are`, () => {
    for (const [name] of text.matchAll(/\bMAYFLY_[A-Z_]*[A-Z]|\bDATABASE_URL(_FILE)?\b/g)) {
      assert.ok(SETTING_NAMES.has(name) || RUN_VARIABLES.includes(name) || name === 'MAYFLY_TLS', name);
    }
  });

  test(`${path} names only operations that there are`, () => {
    for (const code of codeSpansOf(text)) {
      const [, method, named = ''] = /^(?:(GET|POST) )?(\/[\w./{}-]+)$/.exec(code) ?? [];
      if (!/^\/(oauth|v1\/\w|\.well-known|livez|readyz|metrics)/.test(named)) continue;
      const found = contract.paths[named];
      assert.ok(found, code);
      if (method !== undefined) assert.ok(method === 'GET' ? found.get : found.post, code);
    }
  });

  test(`${path} links to what there is`, () => {
    for (const [, target = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
      if (target.startsWith('https://')) continue;
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : join(dirname(path), file);
      assert.ok(existsSync(join(ROOT, linked)), target);
      if (anchor !== undefined) assert.ok(anchorsOf(textOf(linked)).includes(anchor), target);
    }
  });

  test(`${path} names only files that there are`, () => {
    for (const code of codeSpansOf(text)) {
      if (!/^(src|test|docs|deploy|scopes)\/[\w./-]+$/.test(code) || isMade(code)) continue;
      assert.ok(existsSync(join(ROOT, code)), code);
    }
  });

  test(`${path} says nothing of machines and moments of its writing`, () => {
    assert.doesNotMatch(text, /\/work\/|\/root\/|TODO|FIXME|\bTBD\b/);
  });
}

test('every operation is mentioned', () => {
  for (const { method, path } of operations())
    assert.ok(readme.includes(`${method} ${path}`), `${method} ${path}`);
});

test('the steps of a token request name refusals of the token endpoint', () => {
  const refused = tableAfter(readme, '## How a token request goes').flatMap(([, , cell = '']) =>
    [...cell.matchAll(/`(\w+)`/g)].map(([, code = '']) => code),
  );
  assert.ok(refused.length > 8);
  for (const code of refused) assert.ok(code in REFUSAL_CODES, code);
});

test('the table of roles is that of the code', () => {
  const expected = Object.entries(MANAGEMENT_ACTIONS).map(([name, { title, roles }]) => [
    `\`${name}\``,
    title.charAt(0).toLowerCase() + title.slice(1),
    roles.join(', '),
  ]);
  assert.deepEqual(tableAfter(readme, '<!-- roles -->'), expected);
});

test('each word of the glossary has one meaning, in order, and each capability has its word', () => {
  const words = tableAfter(readme, '## Words').map(([word = '', meaning = '']) => ({
    word: word.replace(' ²', ''),
    meaning,
  }));
  const names = words.map(({ word }) => word);
  assert.deepEqual(names, [...new Set(names)].sort());
  for (const { word, meaning } of words) assert.ok(meaning.length > 10, word);
  const plain = new Set([
    'aws',
    'bounds',
    'cli',
    'config',
    'database',
    'errors',
    'http',
    'json',
    'jws',
    'sample',
    'sdk',
    'time',
  ]);
  const singular: Record<string, string> = { audit: 'entry', dpop: 'proof', catalogue: 'catalogue' };
  for (const entry of readdirSync(`${ROOT}src`, { withFileTypes: true })) {
    if (!entry.isDirectory() || plain.has(entry.name)) continue;
    const word = singular[entry.name] ?? entry.name.replace('-', ' ').replace(/s$/, '');
    assert.ok(names.includes(word), `src/${entry.name} has no word`);
  }
});

test('there is a place for the measured figures', () => {
  assert.match(readme, /<!-- bench:mint -->[\s\S]*<!-- \/bench:mint -->/);
});

test('the licence is the one of the package', () => {
  assert.equal(JSON.parse(textOf('package.json')).license, 'Apache-2.0');
  assert.match(textOf('LICENSE'), /Apache License\s+Version 2\.0/);
});

test('the changelog has the version of the package, or says that it is not released', () => {
  const { version } = JSON.parse(textOf('package.json'));
  const changelog = textOf('CHANGELOG.md');
  assert.ok(changelog.includes(`## [${version}]`) || /## \[Unreleased\]/.test(changelog));
  assert.ok(changelog.includes(version));
});

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** By prepare.sh, for one deployment; git ignores it. */
function isMade(path: string): boolean {
  return /^deploy\/(secrets|scopes|clients|broker\.env)\b/.test(path);
}
