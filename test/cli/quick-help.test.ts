/** `mayfly --help` and tab completion are waited for: what they load is little. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ENTRY = fileURLToPath(new URL('../../src/cli/mayfly.ts', import.meta.url));

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
  const files = closureOf(ENTRY, packages);
  assert.deepEqual([...packages], ['commander']);
  assert.ok(files.size >= 4 && files.size <= 10, [...files].join('\n'));
});
