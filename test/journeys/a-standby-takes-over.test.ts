/**
 * A real synchronous standby, made from a cold copy: it confirms kills, it stops confirming them, it is behind, and it
 * takes over (L21, L25). Brokers and verifiers go on in their processes all the while.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import type { Receipt } from '../../src/revocations/receipt.ts';
import { cleanEnvironment, until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';
import { CUSTOMERS, createFleet, type Minted } from './fleet.ts';
import { CAN_BE_STOPPED, createAddress, createPostgresServer, prepareTemplate } from './postgres-server.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const EVIDENCE = join(tmpdir(), `mayfly-standby-${process.pid}`);
const PATH = '/v1/kill-switch';
/** The wait for the standby, and all that is asked before and after it. */
const BOUND_MILLISECONDS = 8_000;
const STANDBY = 'the_standby';
/** Connections of which nobody gets rid have run out after one minute. */
const IN_THE_SOAK = { skip: soakFactor() === 1 };
const KILLING_MILLISECONDS = 120_000;
const MAX_WAITING = 30;

const address = await createAddress();
const primary = await createPostgresServer();
await primary.start();
await address.leadTo(primary);
await prepareTemplate(primary);
await primary.stop();
const standby = await createPostgresServer({
  copyOf: await primary.backup(),
  follow: { primary, as: STANDBY },
});
await Promise.all([primary.start(), standby.start()]);
await onPrimary(`alter system set synchronous_standby_names = '${STANDBY}'`);
await onPrimary('select pg_reload_conf()');
await until(async () => (await connected()).includes('sync'), 'the standby confirms what is committed');

const fleet = await createFleet({
  verifiers: [{ resource: CUSTOMERS }, { resource: CUSTOMERS }],
  settings: { MAYFLY_DRAIN_SECONDS: '1' },
});
const [olivia, omar] = [fleet.operator('olivia', 0), fleet.operator('omar', 1)];
after(() => rm(EVIDENCE, { force: true }));

async function onPrimary<Row extends object>(text: string): Promise<Row[]> {
  return asSuperuser(primary.socketDirectory, async (client) => (await client.query(text)).rows as Row[]);
}

async function connected(): Promise<(string | null)[]> {
  const rows = await onPrimary<{ sync_state: string | null }>('select sync_state from pg_stat_replication');
  return rows.map((row) => row.sync_state);
}

/** Backends whose commit waits for the standby. */
const waiting = async () =>
  (
    await onPrimary<{ name: string }>(
      `select application_name as name from pg_stat_activity where wait_event = 'SyncRep'`,
    )
  ).map(({ name }) => name);

async function engage(agent: string) {
  const from = performance.now();
  const answer = await olivia.post(PATH, 'mayfly:engage:kill-switch', {
    target: { kind: 'agent', id: agent },
    reason: 'a journey',
    wait_seconds: 3,
  });
  const taken = performance.now() - from;
  assert.ok(taken < BOUND_MILLISECONDS, `answered after ${taken} ms`);
  return { ...answer, receipt: decodeJwt<Receipt>(answer.body.receipt) };
}

async function release(id: string): Promise<void> {
  const answer = await omar.post(`${PATH}/${id}/release`, 'mayfly:release:kill-switch', { reason: 'over' });
  assert.ok(answer.status < 300, answer.text);
}

async function isOnStandby(id: string): Promise<boolean> {
  const found = await asSuperuser(
    standby.socketDirectory,
    (client) => client.query('select from revocations where id = $1', [id]),
    fleet.world.database.name,
  );
  return found.rowCount === 1;
}

const statuses = async () => (await Promise.all(fleet.verifiers.map((each) => each.status()))).flat();

const said = async (minted: Minted) => [...new Set(await fleet.everywhere(minted))];
const allSay = (outcome: string, minted: Minted) =>
  until(
    async () => (await fleet.everywhere(minted)).every((each) => each === outcome),
    `every verifier says ${outcome}`,
    60_000,
  );

const mintAs = (name: string, at: number) =>
  fleet.world.agent({ url: fleet.urls[at] ?? '' }, name).token(newSessionKey());

async function owner(...words: string[]): Promise<string> {
  const args = [LAUNCHER, 'ledger', ...words, '--database-url', fleet.world.database.ownerUrl];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env: cleanEnvironment({}) });
  return stdout + stderr;
}

describe('FLT-02: a synchronous standby', { skip: !CAN_BE_STOPPED }, () => {
  test('while it is there a kill is answered with 200, and it has it', async () => {
    const minted = await fleet.mint();
    await allSay('granted', minted);
    const { status, body, receipt, text } = await engage('report-writer');
    assert.equal(status, 200, text);
    assert.deepEqual([receipt.replicated, body.complete], [true, true]);
    assert.ok(await isOnStandby(body.id), 'before anybody was told');
    assert.deepEqual(await said(minted), ['token_revoked']);
    await release(body.id);
  });

  test('while it stands still a kill is answered with 202 in time, waits for nobody, and is confirmed later', async (t) => {
    const minted = await fleet.mint();
    await allSay('granted', minted);
    t.after(() => standby.resume());
    await standby.pause();
    const { status, body, receipt, text } = await engage('report-writer');
    assert.deepEqual([status, receipt.replicated, body.complete], [202, false, false], text);
    await allSay('token_revoked', minted); // commits wait for the standby, verifiers do not
    assert.deepEqual(
      (await waiting()).filter((name) => name.startsWith('mayfly kill')),
      [],
    );

    standby.resume();
    await until(async () => {
      const read = await olivia.get(`${PATH}/${body.id}`, 'mayfly:read:kill-switch');
      return read.body.replicated && read.body.complete;
    }, 'it is confirmed when the standby goes on');
    assert.ok(await isOnStandby(body.id));
    await release(body.id);
  });

  test(
    'however long mints hang on it, connections do not run out, and kills go on',
    IN_THE_SOAK,
    async (t) => {
      t.after(() => standby.resume());
      await standby.pause();
      let isOver = false;
      const mintOn = async (agent: (typeof fleet.agents)[0]) => {
        while (!isOver) await agent.token(newSessionKey());
      };
      const minting = [...fleet.agents, ...fleet.agents].map(mintOn);
      const from = performance.now();
      try {
        while (performance.now() - from < KILLING_MILLISECONDS) {
          const { status, body, text } = await engage('support-assistant');
          assert.equal(status, 202, text);
          await release(body.id);
          const left = await waiting();
          assert.ok(left.length <= MAX_WAITING, `${left.length} wait: ${left}`);
        }
      } finally {
        isOver = true;
      }
      standby.resume();
      await Promise.all(minting);
    },
  );

  test('one that was behind takes over: nothing is served until the owner says so, and no kill is forgotten', async () => {
    const [before, other] = [await fleet.mint(), await fleet.mint({ at: 1 })];
    await allSay('granted', before);
    const kept = await engage('report-writer');
    assert.deepEqual([kept.status, kept.receipt.replicated], [200, true], kept.text);

    await standby.kill();
    const lost = await engage('support-assistant');
    assert.deepEqual([lost.status, lost.receipt.replicated], [202, false], 'not promised');
    await until(
      async () => (await statuses()).every(({ epoch }) => epoch >= lost.body.epoch),
      'verifiers have applied it',
    );
    await primary.kill();
    await standby.start();
    await asSuperuser(standby.socketDirectory, (client) => client.query('select pg_promote()'));
    await address.leadTo(standby);

    for (const at of [0, 1]) {
      const url = fleet.urls[at];
      await until(
        async () => (await (await fetch(`${url}/readyz`)).text()).includes('not the one'),
        'it is noticed',
      );
      for (const name of ['report-writer', 'support-assistant', 'billing-runner']) {
        const { status, body } = await mintAs(name, at);
        assert.deepEqual([status, body.access_token], [503, undefined], JSON.stringify(body));
      }
    }
    await assert.rejects(engage('billing-runner'), /no token for/);
    await until(
      async () => (await statuses()).every(({ serving }) => serving.HIGH === 'lease_expired'),
      'nobody renews leases',
    );
    for (const each of [before, other]) assert.deepEqual(await said(each), ['token_revoked']);

    const evidence = (await Promise.all(fleet.verifiers.map((each) => each.evidence()))).flat(2);
    await owner('move-head', '--reason', 'a failover', '--yes', '--above', String(lost.body.epoch));
    await until(
      async () => (await statuses()).every(({ serving }) => serving.HIGH === 'granted'),
      'verifiers go on in the new generation',
      60_000,
    );
    for (const each of [before, other]) assert.deepEqual(await said(each), ['token_revoked']);
    for (const at of [0, 1]) {
      await until(
        async () => (await mintAs('support-assistant', at)).status === 200,
        'each broker goes on, and what was not promised is lost',
      );
      assert.equal(
        (await mintAs('report-writer', at)).body.code,
        'agent_stopped',
        'what was promised stands',
      );
    }

    await writeFile(EVIDENCE, evidence.join('\n'));
    await owner('recover', EVIDENCE, '--issuer', TEST_ISSUER, '--as', 'restorer');
    for (const at of [0, 1]) {
      await until(
        async () => (await mintAs('support-assistant', at)).body.code === 'agent_stopped',
        'and comes back from what verifiers hold',
      );
      assert.equal((await mintAs('report-writer', at)).body.code, 'agent_stopped');
    }
    await release(kept.body.id);
    await allSay('granted', await fleet.mint());
  });
});
