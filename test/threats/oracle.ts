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
import pg from 'pg';
import type { Broker } from '../../src/broker.ts';
import { REFUSAL_REASONS, type RefusalReason } from '../../src/errors/refusal.ts';
import { createLog } from '../../src/log.ts';
import { newSessionKey, type SessionKey, type TestAgent } from '../test-agent.ts';
import { createTestWorld, type TestBrokerOptions, type TestWorld } from '../test-broker.ts';
import { beforeDrop } from '../test-database.ts';
import { NO_ROWS, OUTCOMES, type Outcome, type Rows } from './outcomes.ts';
import { type Answer, type Attempt, createRawClient } from './raw-request.ts';

/** Put into whatever must not come out again. */
export const CANARY = 'canary-7f3a-do-not-echo';

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
const MIN_SECRET_LENGTH = 20;
const MIN_ECHO_LENGTH = 8;

/** What hints say by themselves. */
const SAID_ANYWAY = [
  'client_credentials',
  'application/json',
  'application/x-www-form-urlencoded',
  'mayfly_call',
  'report-writer',
];
const SECRET_FIELDS = ['client_assertion', 'client_secret', 'token', 'access_token', 'assertion', 'password'];

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

function expectOutcome(answer: Answer, expected: Case['expected']): Outcome {
  const allowed: readonly Outcome[] = typeof expected === 'string' ? [expected] : expected;
  const outcome = allowed.find((name) => matches(answer, name));
  assert.ok(outcome !== undefined, `expected ${allowed.join(' or ')}, got ${answer.status} ${answer.text}`);
  for (const name of OUTCOMES[outcome].headers ?? []) {
    assert.equal(answer.headers.get(name)?.length, 1, `one ${name}`);
  }
  if (outcome === 'INACT') assert.equal(answer.text, '{"active":false}');
  return outcome;
}

function matches({ status, body, headers }: Answer, outcome: Outcome): boolean {
  const promised = OUTCOMES[outcome];
  const isProblem = headers.get('content-type')?.[0] === 'application/problem+json';
  if (status !== promised.status) return false;
  if (promised.code !== undefined && body?.code !== promised.code) return false;
  if (promised.error === undefined || (isProblem && promised.code !== undefined)) return true;
  return (isProblem ? body?.code : body?.error) === promised.error;
}

/** Of any answer at all: what form it has, and what is not in it. */
export function expectSafeAnswer(answer: Answer, attempt: Attempt = {}): void {
  const { status, headers, text, body } = answer;
  assert.ok(status !== 500 && status !== 502, text);
  if (text !== '') {
    assert.match(headers.get('content-type')?.join() ?? '', /^application\/(problem\+)?json$/);
    assert.ok(body !== undefined, `JSON: ${text}`);
  }
  assert.match(headers.get('cache-control')?.join() ?? '', /^no-store$/);
  assert.match(headers.get('request-id')?.join() ?? '', /^req_[0-9a-z]{26}$/);
  for (const absent of ['etag', 'x-powered-by', 'server', 'access-control-allow-origin', 'location']) {
    assert.equal(headers.get(absent), undefined, absent);
  }
  for (const single of ['dpop-nonce', 'www-authenticate', 'retry-after', 'content-type', 'cache-control']) {
    assert.ok((headers.get(single)?.length ?? 0) <= 1, `${single} at most once`);
  }
  assert.match(headers.get('dpop-nonce')?.[0] ?? 'none', /^[\x21\x23-\x5b\x5d-\x7e]+$/);
  if (status < 400) return;
  expectPlainWords(answer);
  for (const value of echoable(attempt)) assert.ok(!text.includes(value), `echoes ${value.slice(0, 40)}`);
}

/** RFC 6749 §5.2 and RFC 9457: the characters of the words, and none of our insides in them. */
function expectPlainWords({ text, body, headers }: Answer): void {
  const words = body?.error_description ?? body?.title;
  assert.match(String(words), /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
  assert.doesNotMatch(text, /<html|<pre|\bat \S+:\d+|node:|\bselect\b|\binsert\b|SyntaxError|TypeError|pg_/i);
  for (const [, values] of headers) for (const value of values) assert.ok(!value.includes(CANARY));
  assert.ok(!text.includes(CANARY), 'the canary came out');
}

function echoable({ fields = {}, headers = [], body, json }: Attempt): string[] {
  const given = [
    ...Object.values(fields).flat(),
    ...headers.filter(([name]) => name !== 'Content-Type').map(([, value]) => value),
    ...(typeof body === 'string' ? [body] : []),
    ...(json === undefined ? [] : [JSON.stringify(json)]),
  ];
  return given.filter(
    (value): value is string =>
      value !== undefined && value.length >= MIN_ECHO_LENGTH && !SAID_ANYWAY.includes(value),
  );
}

type Entry = {
  outcome: string;
  action: string;
  reason: string | null;
  actor: string | null;
  details: Record<string, unknown>;
};

/** What the database holds, asked so often that the statements are prepared: each is planned over all partitions. */
async function openLedger(world: TestWorld) {
  const client = new pg.Client(world.database.ownerUrl);
  await client.connect();
  return {
    async countRows(): Promise<Rows> {
      const { rows } = await client.query<Rows>({ name: 'count', text: COUNT_ROWS });
      return rows[0] ?? NO_ROWS;
    },
    /** What the record says of the request that this answers. */
    async entriesOf({ headers }: Answer): Promise<Entry[]> {
      const { rows } = await client.query<Entry>({
        name: 'entries',
        text: 'select * from audit_entries where request_id = $1',
        values: [headers.get('request-id')?.[0]],
      });
      return rows;
    },
    close: () => client.end(),
  };
}

type Ledger = Awaited<ReturnType<typeof openLedger>>;

const COUNT_ROWS = `
  select minted.tokens, minted.consumed, (select count(*)::int from spent_jti) as spent,
         (select count(*)::int from sessions) as sessions, (select count(*)::int from revocations) as revocations
    from (select count(*)::int as tokens, count(consumed_at)::int as consumed from tokens) as minted`;

async function expectRows(
  ledger: Ledger,
  before: Rows,
  {
    outcome,
    rows,
    path = '/oauth/token',
  }: { outcome: Outcome; rows: Case['rows']; path?: string | undefined },
): Promise<void> {
  const after = await ledger.countRows();
  const added = Object.fromEntries(
    (Object.keys(NO_ROWS) as (keyof Rows)[]).map((name) => [name, after[name] - before[name]]),
  ) as Rows;
  const implied: Partial<Rows> =
    outcome === 'OK' && path.startsWith('/oauth/token')
      ? { tokens: 1, spent: 2, sessions: added.sessions === 1 ? 1 : 0 }
      : outcome === 'INACT'
        ? { spent: 1 }
        : {};
  assert.deepEqual(added, { ...NO_ROWS, ...implied, ...rows }, 'rows that were added');
}

/** @returns the entries as text */
async function expectRecord(
  ledger: Ledger,
  answer: Answer,
  { outcome, reason }: { outcome: Outcome; reason: Case['reason'] },
): Promise<string> {
  const entries = await ledger.entriesOf(answer);
  const refused = entries.filter((entry) => entry.outcome === 'refused');
  if (OUTCOMES[outcome].status >= 400) {
    assert.ok(entries.length <= 1, `one entry at most: ${JSON.stringify(entries)}`);
    for (const entry of refused) {
      assert.ok(entry.reason !== null && entry.reason in REFUSAL_REASONS, `${entry.reason} is in the set`);
      assert.equal(REFUSAL_REASONS[entry.reason as RefusalReason], answer.body?.code);
    }
  }
  if (reason !== undefined)
    assert.deepEqual(
      refused.map((entry) => entry.reason),
      [reason],
    );
  return JSON.stringify(entries);
}

/** Nothing that somebody could use, and nothing that somebody planted, stands in the log or in the record. */
function expectSilence(written: readonly string[], attempt: Attempt, answer: Answer): void {
  const { fields = {}, headers = [], json } = attempt;
  const members = { ...fields, ...(json as Record<string, string> | undefined) };
  const secrets = [
    ...SECRET_FIELDS.flatMap((name) => members[name] ?? []).filter((secret) => typeof secret === 'string'),
    ...headers.filter(([name]) => /^(dpop|authorization|cookie)$/i.test(name)).map(([, value]) => value),
    ...(typeof answer.body?.access_token === 'string' ? [answer.body.access_token as string] : []),
  ].flatMap((secret) => [secret, ...secret.split('.')]);
  const text = written.join('\n');
  for (const secret of secrets.filter(({ length }) => length >= MIN_SECRET_LENGTH)) {
    assert.ok(!text.includes(secret), `written down: ${secret.slice(0, 30)}…`);
  }
  assert.ok(!text.includes(CANARY), 'the canary was written down');
  assert.doesNotMatch(text, /a request met a defect/);
}
