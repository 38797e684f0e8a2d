import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/*
 * The drawing of the code. A folder imports only from lines below its own, or from itself; what stands on one line
 * does not know its neighbours. Whoever wants another arrow changes the drawing in review.
 */
const DRAWING: readonly (readonly string[])[] = [
  ['cli'],
  ['run', 'sample'],
  ['sdk'],
  ['main'],
  ['kill-switch'],
  ['verifier', 'tokens', 'aws'],
  ['verifiers'],
  ['sessions'],
  ['agents'],
  ['revocations'],
  ['operators', 'sinks'],
  ['catalogue', 'dpop', 'signing-keys'],
  ['audit'],
  ['database', 'http'],
  ['config'],
  ['jws'],
  ['json', 'bounds'],
  ['errors', 'time'],
];

/** `mayfly/verifier` runs inside other people's servers: the pure parts only. */
const VERIFIER_MAY_IMPORT = [
  'dpop',
  'jws',
  'json',
  'bounds',
  'errors',
  'time',
  'tokens/call.ts',
  'revocations/ledger-copy.ts',
  'revocations/ledger-entry.ts',
  'revocations/ledger-message.ts',
  'revocations/revocation.ts',
  'revocations/rule.ts',
];

/** These know nothing of the server's inside: they speak HTTP. */
const SPEAKS_HTTP_ONLY: Readonly<Record<string, readonly string[]>> = {
  sdk: ['jws', 'json', 'errors', 'time'],
  run: ['sdk', 'config', 'json'],
  sample: ['sdk', 'verifier', 'dpop', 'jws', 'json', 'errors', 'time', 'config', 'http', 'bounds'],
};

const SOURCE = fileURLToPath(new URL('../src', import.meta.url));

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.ts'),
);

/** Files at the top of src/ build and start the broker. */
function folderOf(path: string): string {
  const [folder = '', ...rest] = path.split('/');
  return rest.length === 0 ? 'main' : folder;
}

function importsOf(path: string): string[] {
  const text = readFileSync(resolve(SOURCE, path), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)].map(([, specifier = '']) => specifier);
}

const arrows = files.flatMap((from) =>
  importsOf(from)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => ({ from, to: relative(SOURCE, resolve(SOURCE, dirname(from), specifier)) })),
);

const lineOf = (folder: string) => DRAWING.findIndex((line) => line.includes(folder));

test('every folder of src/ stands in the drawing', () => {
  const folders = new Set(files.map(folderOf));
  assert.deepEqual(
    [...folders].filter((folder) => lineOf(folder) === -1),
    [],
  );
});

test('imports run one way', () => {
  const wrong = arrows.filter(({ from, to }) => {
    const [above, below] = [folderOf(from), folderOf(to)];
    return above !== below && lineOf(below) <= lineOf(above);
  });
  assert.deepEqual(wrong, []);
});

test('the verifier library imports nothing of the server', () => {
  const wrong = arrows.filter(
    ({ from, to }) =>
      folderOf(from) === 'verifier' &&
      folderOf(to) !== 'verifier' &&
      !VERIFIER_MAY_IMPORT.includes(folderOf(to)) &&
      !VERIFIER_MAY_IMPORT.includes(to),
  );
  assert.deepEqual(wrong, []);
});

test('what speaks HTTP only imports nothing that could go around it', () => {
  const wrong = arrows.filter(({ from, to }) => {
    const allowed = SPEAKS_HTTP_ONLY[folderOf(from)];
    return allowed !== undefined && folderOf(to) !== folderOf(from) && !allowed.includes(folderOf(to));
  });
  assert.deepEqual(wrong, []);
});

function importersOf(name: string): string[] {
  return files.filter((path) =>
    importsOf(path).some((specifier) => specifier === name || specifier.startsWith(`${name}/`)),
  );
}

test("AWS's client is loaded by whoever asks AWS, when it does", () => {
  const early = files.filter((path) =>
    /^import (?!type )[^;]*from '@aws-sdk/m.test(readFileSync(resolve(SOURCE, path), 'utf8')),
  );
  assert.deepEqual(early, []);
  assert.deepEqual(importersOf('@aws-sdk'), ['aws/iam.ts', 'aws/sts.ts']);
});

test('express stays at the edge', () => {
  const allowed = /^(http|sample|verifier)\//;
  assert.deepEqual(
    importersOf('express').filter((path) => !allowed.test(path)),
    [],
  );
});

test('SQL stays in stores', () => {
  const allowed =
    /^(database\/|.*-store\.ts$|revocations\/apply-catalogue\.ts$|.*key-(ring|operations)\.ts$)/;
  assert.deepEqual(
    [...importersOf('kysely'), ...importersOf('pg')].filter((path) => !allowed.test(path)),
    [],
  );
});

test('the environment is read in one place', () => {
  const readers = files.filter((path) => readFileSync(resolve(SOURCE, path), 'utf8').includes('process.env'));
  // Other people's programs, which have their own: they say which variable holds the key.
  const allowed = /^(config\/|sdk\/node\.ts$)/;
  assert.deepEqual(
    readers.filter((path) => !allowed.test(path)),
    [],
  );
});

test('no folder is a drawer', () => {
  const drawers = ['helpers', 'utils', 'common', 'shared', 'lib', 'types'];
  assert.deepEqual(
    files.filter((path) => path.split('/').some((part) => drawers.includes(part))),
    [],
  );
});
