/**
 * What holds after every case, whatever the case is about: the answer is exactly the expected one, in JSON, and
 * tells nothing that it was told; no secret is in the log or in the record; the database changed as the outcome
 * says and not otherwise; and the next good request of the same client is served.
 *
 *   const stage = await createStage();                    // at the top of a file: one world, one broker
 *   stage.run('DPP: the key in the proof', [ … cases … ]); // each case is one test with all after-checks
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import type { RefusalReason } from '../../src/errors/refusal-reasons.ts';
import { createLog } from '../../src/log.ts';
import { newSessionKey, type SessionKey, type TestAgent } from '../test-agent.ts';
import { createTestWorld, type TestBrokerOptions, type TestWorld } from '../test-broker.ts';
import { beforeDrop } from '../test-database.ts';
import { expectOutcome, expectRecord, expectRows, expectSafeAnswer, expectSilence } from './after-checks.ts';
import { openLedger } from './ledger.ts';
import type { Outcome, Rows } from './outcomes.ts';
import { type Answer, type Attempt, createRawClient } from './raw-request.ts';

export type Case = {
  /** The line of the threat table, or its neighbour. */
  id: string;
  name: string;
  ask: () => Attempt | Promise<Attempt>;
  expected: Outcome | readonly Outcome[];
  /** What the record says of it; without, any reason that fits the code. */
  reason?: RefusalReason;
  /** Rows beyond what the outcome implies. */
  rows?: Partial<Rows>;
  /** Looks at the answer more closely. */
  also?: (answer: Answer) => void | Promise<void>;
};

/** More than any case needs, and far less than one that blocks the loop takes. */
const MAX_CPU_MILLISECONDS = 2_000;

export type Stage = Awaited<ReturnType<typeof createStage>>;

export type StageOptions = TestBrokerOptions & {
  /** The agent whose next request has to succeed. */
  client?: string;
  /** Another broker of the same world. */
  world?: TestWorld;
};

export async function createStage({ client = 'report-writer', world: given, ...options }: StageOptions = {}) {
  const world = given ?? (await createTestWorld());
  const lines: string[] = [];
  const log = createLog('debug', { write: (line: string) => void lines.push(line) });
  const broker: Broker = await world.startBroker({
    log,
    ...options,
    settings: { MAYFLY_TRUSTED_PROXIES: '127.0.0.1', ...options.settings },
  });
  const raw = createRawClient(broker.url);
  const ledger = await openLedger(world);
  beforeDrop(async () => {
    raw.close();
    await ledger.close();
  });
  const agent = world.agent(broker, client);
  const session = newSessionKey();
  let nonce: string | undefined;

  /** Each from an address of its own, so that cases share neither a rate bound nor a folded line of the record. */
  async function ask(attempt: Attempt): Promise<Answer> {
    const answer = await raw.send({
      ...attempt,
      headers: [['X-Forwarded-For', nextAddress()], ...(attempt.headers ?? [])],
    });
    nonce = answer.headers.get('dpop-nonce')?.[0] ?? nonce;
    return answer;
  }

  /** Where the broker has a clock of its own, good requests go by that. */
  const timeClaims = () =>
    options.clock === undefined ? {} : { iat: Math.floor(options.clock.milliseconds() / 1000) };

  /** A good request for a token; what a case bends comes last. */
  function tokenRequest({
    by = agent,
    key = session,
    fields = {},
    dpop = by.proof(key, { claims: { ...timeClaims(), ...(nonce === undefined ? {} : { nonce }) } }),
  }: {
    by?: TestAgent;
    key?: SessionKey;
    fields?: NonNullable<Attempt['fields']>;
    dpop?: string | null;
  } = {}): Attempt {
    const { iat } = timeClaims();
    const assertion = by.assertion({ claims: iat === undefined ? {} : { iat, exp: iat + 60 } });
    return {
      fields: by.tokenFields({ client_assertion: assertion, ...fields }),
      headers: dpop === null ? [] : [['DPoP', dpop]],
    };
  }

  /** A token, whatever nonce it takes. */
  async function mint(options: Parameters<typeof tokenRequest>[0] = {}): Promise<Answer> {
    const first = await ask(tokenRequest(options));
    return first.body?.error === 'use_dpop_nonce' ? ask(tokenRequest(options)) : first;
  }

  async function check(each: Case): Promise<Answer> {
    const attempt = await each.ask();
    const before = await ledger.countRows();
    const linesBefore = lines.length;
    const cpuBefore = process.cpuUsage();
    const answer = await ask(attempt);
    const cpu = process.cpuUsage(cpuBefore);
    assert.ok((cpu.user + cpu.system) / 1000 < MAX_CPU_MILLISECONDS, 'the case kept the processor busy');

    const outcome = expectOutcome(answer, each.expected);
    expectSafeAnswer(answer, attempt);
    await expectRows(ledger, before, { outcome, rows: each.rows, path: attempt.path });
    const entries = await expectRecord(ledger, answer, { outcome, reason: each.reason });
    expectSilence([...lines.slice(linesBefore), entries], attempt, answer);
    await each.also?.(answer);

    const next = await mint();
    assert.equal(next.status, 200, `the next good request is served: ${next.text}`);
    return answer;
  }

  return {
    world,
    broker,
    raw,
    agent,
    session,
    lines,
    ask,
    mint,
    check,
    tokenRequest,
    nonce: () => nonce,
    agentNamed: (name: string) => world.agent(broker, name),
    resourceNamed: (audience: string) => world.resourceServer(broker, audience),
    ledger,
    run(title: string, cases: readonly Case[]): void {
      describe(title, () => {
        for (const each of cases) {
          const expected = typeof each.expected === 'string' ? each.expected : each.expected.join(' or ');
          test(`${each.id}: ${each.name} → ${expected}`, async () => {
            await check(each);
          });
        }
      });
    },
  };
}

let addresses = 0;

/** Of the range for benchmarks (RFC 2544), which nobody has. */
export function nextAddress(): string {
  addresses += 1;
  return `198.${18 + ((addresses >> 16) & 1)}.${(addresses >> 8) & 255}.${addresses & 255}`;
}
