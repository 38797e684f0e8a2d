import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import { contract, operations, type ResponseObject, resolve, responseOf, type Schema } from './contract.ts';

const { schemas } = contract.components;

test('the document is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone(contract));
  assert.ok(valid, JSON.stringify(errors, null, 1));
  assert.match(contract.openapi, /^3\.1\./);
});

test('its version is that of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  assert.equal(contract.info.version, version);
});

test('every reference points somewhere, and nothing is described that nobody refers to', () => {
  const used = new Set<string>();
  visit(contract, (node) => {
    if (typeof node.$ref !== 'string') return;
    resolve(node as { $ref: string });
    used.add(node.$ref);
  });
  const named = Object.entries(contract.components).flatMap(([kind, members]) =>
    Object.keys(members).map((name) => `#/components/${kind}/${name}`),
  );
  const prose = JSON.stringify(contract);
  const unused = named.filter(
    (reference) => !used.has(reference) && !prose.includes(`\`${reference.split('/').at(-1)}\``),
  );
  assert.deepEqual(unused, []);
});

test('every operation has a name of its own, and a tag that names a capability of the code', () => {
  const names = operations().map(({ operation }) => operation.operationId);
  assert.equal(new Set(names).size, names.length);
  const declared = contract.tags.map(({ name }) => name);
  for (const { operation } of operations()) {
    for (const tag of operation.tags) assert.ok(declared.includes(tag), tag);
  }
  for (const tag of declared) {
    const places = [`../../src/${tag}/`, `../../src/${tag}.ts`].map((path) => new URL(path, import.meta.url));
    assert.ok(places.some(existsSync), `${tag} is no folder and no file of src`);
  }
});

test('the codes are those of the code, with their status, OAuth error and advice', () => {
  const expected = Object.entries(REFUSAL_CODES).map(([code, { status, error }]) => ({
    code,
    status,
    error,
  }));
  assert.deepEqual(codeTable(), [
    ...expected,
    { code: 'internal_error', status: 500, error: 'server_error' },
  ]);
  const codes = expected.map(({ code }) => code);
  assert.deepEqual(schemas.RefusalCode?.enum, [...codes, 'internal_error']);
  const errors = new Set([...expected.map(({ error }) => error), 'server_error']);
  assert.deepEqual(new Set(schemas.OAuthErrorName?.enum as string[]), errors);
});

test('a response names only codes that have its status', () => {
  for (const { path, operation } of operations()) {
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const code of codesOf(resolve<ResponseObject>(response))) {
        assert.ok(statusesOf(code).includes(Number(status)), `${path} ${status} ${code}`);
      }
    }
  }
});

test('every code can come from some operation', () => {
  const told = new Set([
    ...operations().flatMap(({ operation }) =>
      Object.values(operation.responses).flatMap((response) => codesOf(resolve<ResponseObject>(response))),
    ),
    ...Object.values(contract.components.responses).flatMap(codesOf),
  ]);
  const silent = Object.keys(REFUSAL_CODES).filter((code) => !told.has(code));
  assert.deepEqual(silent, []);
});

test('every answer says its headers, and every error its request id, which says where to look', () => {
  for (const each of operations()) {
    for (const status of Object.keys(each.operation.responses)) {
      const headers = Object.keys(responseOf(each, Number(status))?.headers ?? {});
      assert.ok(
        headers.includes('Request-Id') && headers.includes('Cache-Control'),
        `${each.path} ${status}`,
      );
      const mustRetryLater = status === '429' || (status === '503' && each.path !== '/readyz');
      assert.equal(headers.includes('Retry-After'), mustRetryLater, `${each.path} ${status}`);
    }
  }
});

/** The rows of the Markdown table in the description of RefusalCode. */
function codeTable(): { code: string; status: number; error: string }[] {
  const rows = String(schemas.RefusalCode?.description).matchAll(
    /^\| `(\w+)` \| (\d+) \| `(\w+)` \| \S.+ \|$/gm,
  );
  return [...rows].map(([, code = '', status, error = '']) => ({ code, status: Number(status), error }));
}

/** With an access token some have another one. */
function statusesOf(code: string): number[] {
  if (code === 'internal_error') return [500];
  const { status, statusWithToken = status }: { status: number; statusWithToken?: number } =
    REFUSAL_CODES[code as keyof typeof REFUSAL_CODES];
  return [status, statusWithToken];
}

/** The `code` values that the schemas of a response allow. */
function codesOf(response: ResponseObject): string[] {
  return Object.values(response.content ?? {}).flatMap(({ schema }) =>
    ((schema.allOf ?? []) as Schema[]).flatMap(({ properties }) => {
      const { code } = (properties ?? {}) as { code?: { enum?: string[]; const?: string } };
      return code?.enum ?? (code?.const === undefined ? [] : [code.const]);
    }),
  );
}

function visit(node: unknown, look: (node: Record<string, unknown>) => void): void {
  if (node === null || typeof node !== 'object') return;
  if (!Array.isArray(node)) look(node as Record<string, unknown>);
  for (const child of Object.values(node)) visit(child, look);
}
