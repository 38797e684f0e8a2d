/** What commands load: little where somebody waits for it, and nothing of the server where none of it is needed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../../src', import.meta.url));

/** What is loaded before anything runs: not `import type`, not `import()`. */
function staticImportsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  return [...text.matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)';/gm)].map(
    ([, specifier = '']) => specifier,
  );
}

function closureOf(path: string, packages: Set<string>, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const specifier of staticImportsOf(path)) {
    if (specifier.startsWith('.')) closureOf(resolve(dirname(path), specifier), packages, seen);
    else if (!specifier.startsWith('node:')) packages.add(specifier);
  }
  return seen;
}

test('help loads commander, the settings and a handful of small files', () => {
  const packages = new Set<string>();
  const files = closureOf(`${SOURCE}/cli/mayfly.ts`, packages);
  assert.deepEqual([...packages], ['commander']);
  assert.ok(files.size >= 4 && files.size <= 10, [...files].join('\n'));
});

for (const file of ['run-operator-verb', 'watch-command', 'kill-commands', 'drill-command']) {
  test(`${file}.ts knows the management API and no other way into a broker`, () => {
    const packages = new Set<string>();
    const files = closureOf(`${SOURCE}/cli/${file}.ts`, packages);
    const folders = new Set([...files].map((path) => relative(SOURCE, path).split('/')[0]));
    assert.deepEqual([...folders].sort(), ['cli', 'config', 'jws', 'sdk']);
    assert.ok(
      [...packages].every((name) => ['commander', 'jose'].includes(name)),
      [...packages].join(' '),
    );
  });
}

for (const file of ['verify-pack-file', 'audit-witness-command', 'witness-server']) {
  test(`${file}.ts knows no way into a broker, and no database`, () => {
    const packages = new Set<string>();
    const files = closureOf(`${SOURCE}/cli/${file}.ts`, packages);
    const known = [...files].map((path) => relative(SOURCE, path));
    assert.deepEqual(
      known.filter((path) => /^(tokens|revocations|operators|http|[a-z-]+\.ts)/.test(path)),
      [],
    );
    assert.ok(
      [...packages].every((name) => ['commander', 'jose', 'zod'].includes(name)),
      [...packages].join(' '),
    );
  });
}
