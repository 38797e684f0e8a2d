import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { ENTRY_DETAILS, faultOfDetails } from '../../src/audit/entry-schemas.ts';
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

test('an entry holds nothing that is not described, and there are no other actions', () => {
  const details = { effect: 'none' };
  assert.equal(faultOfDetails('token.revoked', details), null);
  assert.match(faultOfDetails('token.revoked', { ...details, access_token: 'eyJ' }) ?? '', /access_token/);
  assert.match(faultOfDetails('token.stolen', details) ?? '', /no action/);
  assert.match(faultOfDetails('toString', details) ?? '', /no action/);
});
