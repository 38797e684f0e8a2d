/** Around the brokers, into a database in which the ledger does not go on (L25). */
import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { silentLog } from '../../src/errors/log.ts';
import { breakGlass, ElsewhereError } from '../../src/kill-switch/break-glass.ts';
import { systemClock } from '../../src/time/clock.ts';
import { LONGEST_LEASE_SECONDS } from '../../src/verifiers/lease-lengths.ts';
import { commandLine } from '../cli/command-line.ts';
import { createLedgerFixture } from './ledger-fixture.ts';

const { database, owner, head } = await createLedgerFixture();
const mayfly = commandLine({});
const url = database.applicationUrl;
const around = (...words: string[]) =>
  mayfly([
    'kill',
    ...words,
    '--database-url',
    url,
    '--reason',
    'a test',
    '--yes',
    '-o',
    'json',
    '--as',
    'ada',
  ]);

function glass(anyDatabase: boolean) {
  const longestLeaseSeconds = LONGEST_LEASE_SECONDS;
  const options = {
    url,
    person: 'ada',
    anyDatabase,
    longestLeaseSeconds,
    log: silentLog,
    clock: systemClock,
  };
  const broken = breakGlass(options);
  after(broken.close);
  return broken;
}

beforeEach(async () => {
  await owner.query(
    `update revocation_head h set system_identifier = i.system_identifier, timeline = i.timeline from database_identity() i`,
  );
});
const restored = (column: 'system_identifier' | 'timeline') =>
  owner.query(`update revocation_head set ${column} = '4711'`);

test('where the ledger goes on the answer names the database, and is complete', async () => {
  const { code, stdout, stderr } = await around('engage', 'zone', 'analytics');
  assert.equal(code, 0, stderr);
  const told = JSON.parse(stdout);
  assert.deepEqual([told.effect, told.complete, told.database.same], ['engaged', true, true]);
  assert.match(told.database.system_identifier, /^\d+$/);
  assert.match(stderr, /^Stopped: no enforcement point holds a lease now\./);
});

for (const column of ['system_identifier', 'timeline'] as const) {
  test(`another ${column} is refused, and nothing is changed`, async () => {
    const before = await head();
    await restored(column);
    const { code, stdout, stderr } = await around('engage', 'all');
    assert.deepEqual([code, stdout], [7, '']);
    assert.match(stderr, /the ledger goes on in cluster .*4711.*--any-database/s);
    const refused = glass(false);
    const order = { target: { kind: 'all' }, reason: 'a test', waitSeconds: 0 } as const;
    await assert.rejects(refused.engage(order), ElsewhereError);
    await assert.rejects(refused.release({ id: 'rev_1', reason: 'a test' }), ElsewhereError);
    await assert.rejects(refused.engaged(), ElsewhereError);
    assert.equal(await head(), before);
  });
}

test('where that is what is meant it is engaged, and is never called complete or a proof', async () => {
  await restored('timeline');
  const { code, stdout, stderr } = await around('engage', 'zone', 'support', '--any-database');
  assert.equal(code, 0, stderr);
  const told = JSON.parse(stdout);
  assert.deepEqual([told.effect, told.complete, told.database.same], ['engaged', false, false]);
  assert.deepEqual(told.database.ledger.timeline, 4711);
  assert.match(stderr, /^Engaged in a database in which the ledger does not go on\. It proves nothing/);
  const [stands] = await glass(true).engaged();
  assert.deepEqual([stands?.id, stands?.target], [told.id, { kind: 'zone', id: 'support' }]);
});
