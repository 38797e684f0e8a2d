/** Brokers whose log two witnesses cosign, one broker after the other, and what the database says of it. */
import assert from 'node:assert/strict';
import { CompiledQuery } from 'kysely';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { parseVerifierKey, type VerifierKey } from '../../src/audit/verifier-key.ts';
import type { Broker } from '../../src/broker.ts';
import { type Log, silentLog } from '../../src/errors/log.ts';
import { until as becomesTrue } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { startTestWitness } from './test-witness.ts';

const ORIGIN = 'broker.example.com/v1/audit';

export async function createWitnessedWorld() {
  const said: { level: string; witness: unknown; text: string }[] = [];
  const hear = (level: string) => (fields: { witness?: unknown }, text: string) => {
    if (fields.witness !== undefined) said.push({ level, witness: fields.witness, text });
  };
  const log = { ...silentLog, warn: hear('warn'), error: hear('error') } as unknown as Log;
  let logKeys: readonly VerifierKey[] = [];
  const newWitness = (name: string) => startTestWitness(name, { origin: ORIGIN, logKeys: () => logKeys });
  const [one, two] = [
    await newWitness('one.example.com/witness'),
    await newWitness('two.example.com/witness'),
  ];
  const world = await createTestWorld();
  const settings = { MAYFLY_WITNESSES: `${one.setting}, ${two.setting}` };
  let broker = await world.startBroker({ settings, log });

  async function mint(): Promise<void> {
    const { status } = await world.agent(broker, 'report-writer').token(newSessionKey());
    assert.equal(status, 200);
  }

  /** Says what there is when it never happens. */
  async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await becomesTrue(condition, what, 60_000).catch((error: Error) =>
      assert.fail(`${error.message}; ${JSON.stringify({ said, one: one.answers, two: two.answers })}`),
    );
  }

  const asOwner = async (text: string) =>
    (await world.owner.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text))).rows;

  async function sizes(): Promise<{ signed: number; placed: number }> {
    const [row] = await asOwner(
      `select h.size::float8 as placed, (select max(c.size) from audit_checkpoints c)::float8 as signed
         from audit_log_head h`,
    );
    return row as { signed: number; placed: number };
  }

  return {
    database: world.database,
    one,
    two,
    /** What the brokers said of witnesses. */
    said,
    broker: (): Broker => broker,
    /** Until then they know no key of the log. @returns the newest */
    async introduceLog(): Promise<string> {
      const answer = await fetch(`${broker.url}/v1/audit/keys`);
      const { keys } = (await answer.json()) as { keys: { vkey: string }[] };
      logKeys = keys.map(({ vkey }) => parseVerifierKey(vkey));
      return keys.at(-1)?.vkey ?? '';
    },
    async startAnotherBroker(): Promise<void> {
      broker = await world.startBroker({ settings, log });
    },
    mint,
    until,
    asOwner,
    /** Of the newest signed head, and of the log. */
    sizes,
    /** Of the newest head. */
    async cosigners(): Promise<string[]> {
      const note = await (await fetch(`${broker.url}/v1/audit/checkpoint`)).text();
      const opened = openCheckpoint(note, { origin: ORIGIN, keys: logKeys, witnesses: [one.key, two.key] });
      if (opened.outcome !== 'verified') return [];
      return opened.signers.filter(({ key }) => key.kind === 'witness').map(({ key }) => key.name);
    },
    async readiness(): Promise<string> {
      const { checks } = (await (await fetch(`${broker.url}/readyz`)).json()) as {
        checks: { audit_log: { detail: string } };
      };
      return checks.audit_log.detail;
    },
    async disagrees(): Promise<boolean> {
      const metrics = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
      return /^mayfly_audit_log_disagrees 1$/m.test(metrics);
    },
    /** Entries get places; and a token is still minted. */
    async expectNothingSigned(): Promise<void> {
      const before = await sizes();
      await mint();
      await until('its entry gets a place', async () => (await sizes()).placed > before.placed);
      assert.equal((await sizes()).signed, before.signed);
    },
    close: () => Promise.all([one.close(), two.close()]),
  };
}
