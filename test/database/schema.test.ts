import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { asSuperuser } from '../test-cluster.ts';
import { createTestDatabase } from '../test-database.ts';
import { dumpSchema } from './schema-dump.ts';

const EXPECTED = new URL('../schema.expected.sql', import.meta.url);
const UPDATE = process.env.UPDATE_SCHEMA === '1';

const { socketDirectory, name } = await createTestDatabase();
const schema = await asSuperuser(socketDirectory, dumpSchema, name);

test('the schema after all migrations is the one that was reviewed', () => {
  if (UPDATE) writeFileSync(EXPECTED, schema);
  const expected = existsSync(EXPECTED) ? readFileSync(EXPECTED, 'utf8') : '';
  const hint =
    'A migration changed the schema. Look at it: UPDATE_SCHEMA=1 node --test test/database/schema.test.ts';
  assert.equal(schema, expected, `${hint}\n${firstDifference(schema, expected)}`);
});

test('everybody else may do nothing', () => {
  const toPublic = schema.split('\n').filter((line) => / to public;$/.test(line));
  assert.deepEqual(toPublic, ['grant usage on schema public to public;']);
});

test('the application removes nothing, and changes only the columns that have to change', () => {
  const grants = schema.split('\n').filter((line) => / to mayfly_app;$/.test(line));
  const beyondReading = grants.filter(
    (line) => !/^grant (insert, )?select on|^grant (execute|usage) on/.test(line),
  );
  assert.deepEqual(beyondReading, [
    'grant insert (id, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details), select on audit_entries to mayfly_app;',
    'grant insert, select, update (withdrawn_at) on aws_credentials to mayfly_app;',
    'grant insert, select, update (epoch, generation, claimed_at) on ledger_claims to mayfly_app;',
    'grant insert, select, update (consumed_at) on tokens to mayfly_app;',
    'grant insert, select, update (generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at, closed_at) on verifiers to mayfly_app;',
  ]);
});

test('whatever runs with the rights of its owner looks its tables up in a fixed place', () => {
  const definers = schema.split('\n\n').filter((part) => part.includes('SECURITY DEFINER'));
  for (const definer of definers) {
    assert.match(definer, /SET search_path TO '?(public|pg_catalog)'?.*pg_temp/, definer.slice(0, 100));
  }
});

function firstDifference(actual: string, expected: string): string {
  const wanted = expected.split('\n');
  const found = actual.split('\n');
  const line = found.findIndex((text, index) => text !== wanted[index]);
  const at = line === -1 ? found.length : line;
  return `line ${at + 1}\n  expected: ${wanted[at] ?? '(end)'}\n  found:    ${found[at] ?? '(end)'}`;
}
