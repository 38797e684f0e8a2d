/** L25: a standby was promoted that was behind. What it never heard of, verifiers hold, signed, and give back. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeJwt } from 'jose';
import type { Broker } from '../../src/broker.ts';
import type { LedgerPage } from '../../src/revocations/ledger-entry.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  RECEIPT_TYPE,
  signMessage,
} from '../../src/revocations/ledger-message.ts';
import { recoverRevocations } from '../../src/revocations/recovery-store.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { cleanEnvironment, until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER, type TestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';

const CUSTOMERS = 'https://customers.example.com';
const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const FILE = join(tmpdir(), `mayfly-evidence-${process.pid}`);

let world: TestWorld;
let broker: Broker;
let verifier: Verifier;
/** As the verifier gave it before anything was restored. */
let evidence: string[];
let lostSession: string;

before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
  verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [broker.url],
    resource: CUSTOMERS,
    key: world.scopes.keys.get('customers') as VerifierOptions['key'],
    renewMilliseconds: 100,
    timeoutMilliseconds: 10_000,
  });
  await verifier.ready();
});
after(async () => {
  await verifier.close();
  await rm(FILE, { force: true });
});

type Outcome = { code: number; stdout: string; stderr: string };

function ledger(...words: string[]): Promise<Outcome> {
  const args = [LAUNCHER, 'ledger', ...words, '--database-url', world.database.ownerUrl];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { env: cleanEnvironment({}) }, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

async function recover(lines: readonly string[], ...more: string[]): Promise<Outcome> {
  await writeFile(FILE, `${lines.join('\n')}\n`);
  return ledger('recover', FILE, '--issuer', TEST_ISSUER, '--as', 'restorer', ...more);
}

const headEpoch = async () =>
  Number((await world.query<{ epoch: string }>('select epoch from revocation_head'))[0]?.epoch);

const mint = (name: string) => world.agent(broker, name).token(newSessionKey());

async function kill(kind: string, id: string): Promise<string> {
  const body = { target: { kind, id }, reason: 'a test' };
  const answer = await olivia().post('/v1/kill-switch', 'mayfly:engage:kill-switch', body);
  assert.ok([200, 202].includes(answer.status), answer.text);
  return answer.body.id;
}

async function release(id: string): Promise<void> {
  const path = `/v1/kill-switch/${id}/release`;
  const answer = await world
    .operator(broker, 'omar')
    .post(path, 'mayfly:release:kill-switch', { reason: 'over' });
  assert.ok([200, 202].includes(answer.status), answer.text);
}

async function endSession(id: string): Promise<void> {
  const answer = await olivia().post(`/v1/sessions/${id}/revoke`, 'mayfly:revoke:sessions', {
    reason: 'a test',
  });
  assert.ok([200, 202].includes(answer.status), answer.text);
}

const olivia = () => world.operator(broker, 'olivia');

async function openSession(): Promise<string> {
  const { body } = await mint('report-writer');
  return JSON.parse(Buffer.from(body.access_token.split('.')[1] ?? '', 'base64url').toString()).sid;
}

const recovered = () =>
  world.query<{ key: string; stands: boolean; actor: string }>(
    `select key, standing as stands, actor from revocations where reason = 'recovered' order by epoch`,
  );

/** As a standby that was behind would have it. */
async function lose(since: number): Promise<void> {
  await asSuperuser(
    world.database.socketDirectory,
    async (client) => {
      await client.query("set session_replication_role = 'replica'"); // no cascades: rows are just not there
      for (const [table, column] of [
        ['receipt_instances', 'epoch'],
        ['receipts', 'epoch'],
        ['revocations', 'epoch'],
      ])
        await client.query(`delete from ${table} where ${column} > $1`, [since]);
      await client.query(
        `update revocation_head h set epoch = $1, digest = r.digest from revocations r where r.epoch = $1`,
        [since],
      );
    },
    world.database.name,
  );
}

/** What these pages say of entries behind that epoch, however they are cut. */
const lostIn = (pages: readonly string[], since: number) =>
  pages
    .flatMap((page) => decodeJwt<{ page: LedgerPage }>(page).page.entries)
    .filter(({ epoch }) => epoch > since)
    .map(({ epoch, digest }) => `${epoch} ${digest}`);

const followed = (epoch: number) =>
  until(async () => verifier.status().epoch >= epoch, `the verifier has applied ${epoch}`);

test('what was engaged and ended is in the evidence of a verifier, and stays there whatever becomes of it', async () => {
  const replicated = await openSession();
  lostSession = await openSession();
  await endSession(replicated);
  const kept = await headEpoch();

  await endSession(lostSession);
  await kill('agent', 'report-writer');
  await release(await kill('agent', 'support-assistant'));
  await release(await kill('zone', 'support'));
  await createRevocationStore(world.owner, systemClock).append({
    target: { kind: 'signing-key', id: 'lost-kid' },
    standing: false,
    reason: 'a test',
    actor: 'test',
    requestId: undefined,
  });
  assert.equal((await mint('report-writer')).body.code, 'agent_stopped');
  await followed(await headEpoch());
  evidence = verifier.evidence();
  await lose(kept);

  const early = await recover(evidence);
  assert.equal(early.code, 1, early.stderr);
  assert.match(early.stderr, /lost epoch \d+ of generation 1.*move-head/);
  assert.deepEqual(await recovered(), []);

  const moved = await ledger('move-head', '--reason', 'a test', '--yes');
  assert.equal(moved.code, 0, moved.stderr);
  await followed(await headEpoch());
  const [lost, later] = [lostIn(evidence, kept), lostIn(verifier.evidence(), kept)];
  assert.ok(lost.length >= 7, `${lost.length} entries were lost`);
  for (const entry of lost) assert.ok(later.includes(entry), `${entry} is held still`);
  assert.equal((await mint('report-writer')).status, 200, 'the kill is lost');
});

test('one line that nobody of ours signed, and nothing of the file counts', async () => {
  const [line = ''] = evidence;
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const { kid } = JSON.parse(Buffer.from(line.split('.')[0] ?? '', 'base64url').toString());
  const payload = JSON.parse(Buffer.from(line.split('.')[1] ?? '', 'base64url').toString());
  const cases: [string, RegExp][] = [
    [signMessage(LEDGER_PAGE_TYPE, payload, { kid, privateKey: stranger }), /forged or damaged/],
    [signMessage(LEASE_TYPE, payload, { kid, privateKey: stranger }), /forged or damaged/],
    [signMessage(LEDGER_PAGE_TYPE, payload, { kid: 'mine', privateKey: stranger }), /no ledger key of this/],
    [signMessage(RECEIPT_TYPE, payload, { kid, privateKey: stranger }), /its "typ" is "mayfly-receipt\+jwt"/],
    [
      signMessage('\u009b2J\u202e', payload, { kid, privateKey: stranger }),
      /its "typ" is none that is known/,
    ],
    [`${line}x`, /not a signed message|forged or damaged/],
    ['{"page":{}}', /not a signed message/],
  ];
  for (const [bad, message] of cases) {
    const { code, stderr, stdout } = await recover([...evidence, bad]);
    assert.equal(code, 1, stderr);
    assert.match(stderr, message);
    assert.match(stderr, new RegExp(`Line ${evidence.length + 1} .*Nothing was recovered`));
    assert.equal(stdout, '');
  }
  const foreign = await recover(evidence, '--issuer', 'https://another.example.com');
  assert.match(foreign.stderr, /Line 1 is of "https:\/\/broker.example.com", not of/);
  assert.equal((await recover([''])).code, 1);
  assert.deepEqual(await recovered(), []);
});

test('a day later only what stands and signing keys would be of use', async () => {
  const clock = { ...systemClock, milliseconds: () => Date.now() + 24 * 3_600_000 };
  const order = { owner: world.owner, issuer: TEST_ISSUER, actor: 'restorer', dryRun: true, clock };
  const recovery = await recoverRevocations({ ...order, evidence: evidence.join('\n') });
  assert.deepEqual(
    recovery.recovered.map(({ kind, standing }) => [kind, standing]),
    [
      ['agent', true],
      ['signing-key', false],
    ],
  );
  assert.deepEqual(await recovered(), []);
});

test('a kill stands again, what was ended is ended again, and what was released stays released', async () => {
  const shown = await recover(evidence, '--dry-run');
  assert.match(shown.stdout, /agent +report-writer +yes/);
  assert.match(shown.stderr, /4 would be revoked again/);
  assert.deepEqual(await recovered(), []);

  const { code, stdout, stderr } = await recover(evidence);
  assert.equal(code, 0, stderr);
  assert.deepEqual(await recovered(), [
    { key: `session:${lostSession}`, stands: false, actor: 'restorer' },
    { key: 'agent:report-writer', stands: true, actor: 'restorer' },
    { key: 'agent:support-assistant', stands: false, actor: 'restorer' },
    { key: 'signing-key:lost-kid', stands: false, actor: 'restorer' },
  ]);
  assert.match(stdout, /agent +report-writer +yes +\d+ +\d+/);
  assert.match(stderr, /4 revoked again/);
  assert.match(stderr, /mayfly keys revoke lost-kid --yes/);
  await until(
    async () => (await mint('report-writer')).body.code === 'agent_stopped',
    'it is stopped at the broker',
  );
  await followed(await headEpoch());
  const [recorded] = await world.query<{ n: number }>(
    `select count(*)::int as n from audit_entries where details ? 'epoch' and actor = 'restorer'`,
  );
  assert.equal(recorded?.n, 4);
});

test('twice is once, also after somebody released it', async () => {
  const before = await headEpoch();
  assert.match((await recover([...evidence, ...verifier.evidence()])).stderr, /0 revoked again/);
  assert.equal(await headEpoch(), before);

  const kills = await olivia().get('/v1/kill-switch', 'mayfly:read:kill-switch');
  const [standing] = kills.body.data.filter(
    (each: { target: { id: string } }) => each.target.id === 'report-writer',
  );
  await release(standing.id);
  const after = await headEpoch();
  assert.match((await recover(evidence)).stderr, /0 revoked again/);
  assert.equal(await headEpoch(), after);
  assert.equal((await mint('report-writer')).status, 200);
});

test('what was signed with a key that was revoked since proves nothing', async () => {
  await verifier.close();
  await broker.stop();
  await world.query(
    `update signing_keys set revoked_at = now(), sealed_secret = null where purpose = 'ledger'`,
  );
  const { code, stderr } = await recover(evidence);
  assert.equal(code, 1);
  assert.match(stderr, /which was revoked/);
});
