/** What goes wrong on the side of the broker: too many requests, other files, a defect, an outage. Comes last. */
import { test } from 'node:test';
import { CompiledQuery } from 'kysely';
import type { Broker } from '../../../src/broker.ts';
import { until } from '../../broker-process.ts';
import { newSessionKey } from '../../test-agent.ts';
import type { Answer } from '../contract.ts';
import { exchange, postForm } from '../exchange.ts';
import { MANAGED } from '../managed.ts';
import {
  broker,
  CONSUME,
  hold,
  INTROSPECT,
  LEASE,
  LEDGER,
  MINT,
  management,
  NO_TOKEN,
  OWN_AGENT,
  OWN_END,
  REVOKE,
  SPEND,
  stage,
  WHY,
  world,
} from './asked.ts';
import { READS, WATCHED } from './reads.ts';

/** The operations that ask the database. */
const DECISIONS: readonly (readonly [operation: string, ask: (on: Broker) => Promise<Answer>])[] = [
  [MINT, (on) => stage.mint({}, { on })],
  [
    INTROSPECT,
    (on) => postForm(`${on.url}/oauth/introspect`, stage.customers(on).authenticated({ token: 'a' })),
  ],
  [REVOKE, (on) => postForm(`${on.url}/oauth/revoke`, stage.agent(on).authenticated({ token: 'a' }))],
  [CONSUME, (on) => stage.consume(NO_TOKEN, { on })],
  [OWN_AGENT, (on) => stage.whoAmI({ on })],
  [OWN_END, (on) => stage.endOwn({ on, session: lasting })],
  [LEDGER, (on) => stage.readLedger(on)],
  [LEASE, (on) => stage.renewLease(stage.verifier().question(), on)],
  [SPEND, (on) => stage.spendProofs({}, on)],
  ...WATCHED.map(([operation, path]) => [operation, (on: Broker) => exchange(`${on.url}${path}`)] as const),
];

/** Opened before what it is there for goes wrong. */
const lasting = newSessionKey();

/** Requests of operators, with tokens from before. */
async function preparedRequests(): Promise<(readonly [string, () => Promise<Answer>])[]> {
  const requests: (readonly [string, () => Promise<Answer>])[] = [];
  for (const operation of MANAGED) {
    const path = await management.existing(operation);
    const body = operation.method === 'POST' ? WHY : undefined;
    requests.push([operation.name, await management.prepare(operation, { path, body })]);
  }
  return requests;
}

test('who asks too often is told so as described, at every operation', async () => {
  const slow = await world.startBroker({ settings: { MAYFLY_RATE_PER_SOURCE: '1' } });
  const reads = READS.filter(([operation]) => operation !== 'GET /metrics').map(
    ([operation]) => [operation, (on: Broker) => exchange(`${on.url}${operation.slice(4)}`)] as const,
  );
  const managed = MANAGED.map(
    (operation) => [operation.name, (on: Broker) => management.ask(operation, { action: null, on })] as const,
  );
  for (const [operation, ask] of [...DECISIONS, ...reads, ...managed]) {
    let answer = await ask(slow);
    for (let more = 0; answer.status !== 429 && more < 100; more += 1) answer = await ask(slow); // one a second passes
    hold(operation, '429 rate_limited', answer);
  }
});

test('a broker whose catalogue is not the applied one says so as described', async () => {
  const behind = await world.startBroker({ catalogue: { ...world.catalogue, digest: 'another' } });
  hold('GET /readyz', '503', await exchange(`${behind.url}/readyz`));
  hold(MINT, '503 catalogue_differs', await stage.mint({}, { on: behind }));
});

test('a defect is an opaque 500 as described', async () => {
  const run = (text: string) => world.owner.executeQuery(CompiledQuery.raw(text));
  hold(MINT, '200', await stage.mint({}, { session: lasting }));
  const prepared = await preparedRequests();
  await run('alter table audit_entries rename to lost');
  await run('alter table verifiers rename to gone');
  await run('alter table audit_checkpoints rename to unsigned');
  await run('alter table audit_hand_overs rename to kept');
  try {
    for (const [operation, ask] of DECISIONS) hold(operation, '500 internal_error', await ask(broker));
    for (const [operation, ask] of prepared) hold(operation, '500 internal_error', await ask());
  } finally {
    await run('alter table kept rename to audit_hand_overs');
    await run('alter table unsigned rename to audit_checkpoints');
    await run('alter table gone rename to verifiers');
    await run('alter table lost rename to audit_entries');
  }
});

test('a broker whose database was replaced answers nothing, as described', async () => {
  const prepared = await preparedRequests();
  const isReady = async () => (await exchange(stage.url('/readyz'))).status === 200;
  await world.query('update revocation_head set timeline = timeline + 1');
  await until(async () => !(await isReady()), 'it has noticed');
  hold('GET /readyz', '503', await exchange(stage.url('/readyz')));
  hold('GET /livez', '200', await exchange(stage.url('/livez')));
  for (const [operation, ask] of DECISIONS) hold(operation, '503 temporarily_unavailable', await ask(broker));
  for (const [operation, ask] of prepared) hold(operation, '503 temporarily_unavailable', await ask());
  for (const [operation] of READS.filter(([name]) => !/z$|metrics/.test(name))) {
    hold(operation, '503 temporarily_unavailable', await exchange(stage.url(operation.slice('GET '.length))));
  }
  await world.query('update revocation_head set timeline = timeline - 1');
  await until(isReady, 'it believes the database again');
});

test('an outage of the database is answered as described, and keys are given all the same', async () => {
  const prepared = await preparedRequests();
  await world.database.drop();
  for (const [operation, ask] of prepared) hold(operation, '503 temporarily_unavailable', await ask());
  for (const [operation, ask] of DECISIONS) hold(operation, '503 temporarily_unavailable', await ask(broker));
  hold('GET /.well-known/jwks.json', '200', await exchange(stage.url('/.well-known/jwks.json')));
});
