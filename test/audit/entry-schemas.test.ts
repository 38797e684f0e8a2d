import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  ENTRY_ACTIONS,
  ENTRY_DETAILS,
  faultOfDetails,
  UNWRITABLE_DETAILS,
} from '../../src/audit/entry-schemas.ts';
import { contract } from '../openapi/contract.ts';

test('the document says of the entries of each action exactly what the code lets in', () => {
  const { AuditAction, AuditDetails } = contract.components.schemas;
  assert.deepEqual(AuditAction?.enum, Object.keys(ENTRY_DETAILS));
  const told = Object.entries(ENTRY_DETAILS).map(([action, schema]) => {
    const { $schema: _dialect, ...rest } = z.toJSONSchema(schema);
    return [action, rest];
  });
  assert.deepEqual((AuditDetails as { properties?: object }).properties, Object.fromEntries(told));
});

test('the document says what stands in the place of details that are not held, of whatever action', () => {
  const { $schema: _dialect, ...told } = z.toJSONSchema(UNWRITABLE_DETAILS);
  const { description: _why, ...described } = contract.components.schemas.AuditUnwritableDetails ?? {};
  assert.deepEqual(described, told);
  for (const action of ENTRY_ACTIONS) {
    assert.equal(faultOfDetails(action, { unwritable: 'too-large', sha256: 'a'.repeat(64) }), null, action);
  }
  assert.notEqual(faultOfDetails('token.minted', { unwritable: 'eyJ' }), null);
});

test('an entry holds nothing that is not described, and there are no other actions', () => {
  const details = { effect: 'none' };
  assert.equal(faultOfDetails('token.revoked', details), null);
  assert.match(faultOfDetails('token.revoked', { ...details, access_token: 'eyJ' }) ?? '', /access_token/);
  assert.match(faultOfDetails('token.stolen', details) ?? '', /no action/);
  assert.match(faultOfDetails('toString', details) ?? '', /no action/);
});
