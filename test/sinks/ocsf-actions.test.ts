import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENTRY_DETAILS } from '../../src/audit/entry-schemas.ts';
import { OCSF_ACTIONS } from '../../src/sinks/ocsf-classes.ts';

test('every action of the log has its class in OCSF, and nothing else has one', () => {
  assert.deepEqual([...OCSF_ACTIONS].sort(), Object.keys(ENTRY_DETAILS).sort());
});
