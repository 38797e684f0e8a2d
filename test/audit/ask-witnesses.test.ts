/** Witnesses of a running broker: asked after each head, never waited for, believed for their signature alone. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { parseVerifierKey, type VerifierKey } from '../../src/audit/verifier-key.ts';
import { type Log, silentLog } from '../../src/errors/log.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { startTestWitness } from './test-witness.ts';

const ORIGIN = 'broker.example.com/v1/audit';
const said: { level: string; witness: unknown; text: string }[] = [];
const hear = (level: string) => (fields: { witness?: unknown }, text: string) => {
  if (fields.witness !== undefined) said.push({ level, witness: fields.witness, text });
};
const log = { ...silentLog, warn: hear('warn'), error: hear('error') } as unknown as Log;

let logKeys: readonly VerifierKey[] = [];
const one = await startTestWitness('one.example.com/witness', { origin: ORIGIN, logKeys: () => logKeys });
const two = await startTestWitness('two.example.com/witness', { origin: ORIGIN, logKeys: () => logKeys });
after(() => Promise.all([one.close(), two.close()]));

const world = await createTestWorld();
const broker = await world.startBroker({
  settings: { MAYFLY_WITNESSES: `${one.setting}, ${two.setting}` },
  log,
});
const agent = world.agent(broker, 'report-writer');

async function mint(): Promise<void> {
  const { status } = await agent.token(newSessionKey());
  assert.equal(status, 200);
}

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    assert.ok(
      Date.now() < deadline,
      `${what}; ${JSON.stringify({ said, one: one.answers, two: two.answers })}`,
    );
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function cosigners(): Promise<string[]> {
  const note = await (await fetch(`${broker.url}/v1/audit/checkpoint`)).text();
  const opened = openCheckpoint(note, { origin: ORIGIN, keys: logKeys, witnesses: [one.key, two.key] });
  if (opened.outcome !== 'verified') return [];
  return opened.signers.filter(({ key }) => key.kind === 'witness').map(({ key }) => key.name);
}

test('a witness that does not know the log is told of once, asked again, and cosigns as soon as it does', async () => {
  await mint();
  await until('both were asked', () => one.answers.includes(404) && two.answers.includes(404));
  await until('that is said', () => said.length === 2);
  assert.deepEqual(new Set(said.map(({ level }) => level)), new Set(['warn']));
  const body = (await (await fetch(`${broker.url}/v1/audit/keys`)).json()) as { keys: { vkey: string }[] };
  logKeys = body.keys.map(({ vkey }) => parseVerifierKey(vkey));
  await until('both have cosigned the newest', async () => (await cosigners()).length === 2);
  assert.equal(said.length, 2);
});

test('each new head is shown with the proof from the last one that the witness saw', async () => {
  const [before, asked] = [one.latest()?.size ?? 0, one.answers.length];
  await mint();
  await until(
    'the newest is cosigned',
    async () => (one.latest()?.size ?? 0) > before && (await cosigners()).length === 2,
  );
  assert.ok(before > 0);
  assert.ok(
    one.answers.slice(asked).every((status) => status === 200),
    `${one.answers}`,
  );
});

test('a witness that forgot what it saw, or saw more than we remember, says where it is and gets the proof from there', async () => {
  one.remember(null);
  await mint();
  await until('it is asked twice', () => one.answers.includes(409));
  await until('and cosigns', async () => (await cosigners()).includes(one.key.name));
});

test('a witness that is silent delays neither tokens nor heads nor the other witness', async () => {
  const warnings = () => said.filter(({ witness }) => witness === one.key.name).length;
  const told = warnings();
  one.insist('silence');
  for (let times = 0; times < 3; times += 1) await mint();
  const before = two.latest()?.size ?? 0;
  await mint();
  await until('the other one goes on', () => (two.latest()?.size ?? 0) > before);
  one.insist(503);
  await until('that it is silent is said', () => warnings() > told);
  one.insist(null);
  await until('it catches up', async () => (await cosigners()).length === 2);
});

test('a signature that is none of the witness is not kept', async () => {
  one.insist('nonsense'); // signed by another key of its name
  const before = one.answers.length;
  await mint();
  await until('it was asked', () => one.answers.length > before);
  await until('the other one cosigns', async () => (await cosigners()).includes(two.key.name));
  assert.ok(!(await cosigners()).includes(one.key.name));
  one.insist(null);
});

test('a witness that saw a longer log, or another one of the same size, raises the alarm', async () => {
  const errors = () =>
    said.filter(({ level, witness }) => level === 'error' && witness === two.key.name).length;
  const root = Buffer.alloc(32, 7);
  const real = two.latest();
  two.remember({ size: 1_000_000, root });
  await mint();
  await until('a longer log: alarm', () => errors() === 1);
  two.remember(real);
  await until('it cosigns again', async () => (await cosigners()).includes(two.key.name));
  two.remember({ size: two.latest()?.size ?? 0, root });
  await mint();
  await until('another root: alarm', () => errors() === 2);
  assert.ok(two.answers.includes(422));
});
