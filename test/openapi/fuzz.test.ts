/**
 * Whatever is written where an operation of operators expects a name, a filter or a body: the answer is one that the
 * document describes, and never a defect. It is asked with a good token, since nobody else gets as far.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import type { TestOperator } from '../test-operator.ts';
import { complaints, operations, responseOf } from './contract.ts';
import { exchange } from './exchange.ts';
import { MANAGED, type ManagedOperation } from './managed.ts';

const SECONDS_OF_A_TOKEN = 50;

let world: TestWorld;
let broker: Broker;
let operator: TestOperator;
let names: string[];
before(async () => {
  world = await createTestWorld();
  broker = await world.startBroker();
  operator = world.operator(broker, 'olivia');
  const { body } = await world.agent(broker, 'report-writer').token(newSessionKey());
  names = [
    'report-writer',
    'billing-runner',
    String(body.session_id),
    'ses_',
    'tok_01kdvdnad14k88pftagytay02x',
  ];
});

const tokens = new Map<string, { text: string; usedUntil: number }>();

async function tokenFor(action: string): Promise<string> {
  const known = tokens.get(action);
  if (known !== undefined && known.usedUntil > performance.now()) return known.text;
  const text = await operator.token(action);
  tokens.set(action, { text, usedUntil: performance.now() + SECONDS_OF_A_TOKEN * 1_000 });
  return text;
}

const name = fc.oneof(
  fc.nat(4).map((index) => names[index] ?? ''),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '%',
    "'",
    '"',
    '\0',
    '..',
    '../agents',
    '__proto__',
    'null',
    '-1',
    'x'.repeat(1_000),
    '%00',
    '\u202e',
  ),
);
const parameter = fc.constantFrom(
  'limit',
  'cursor',
  'state',
  'agent',
  'zone',
  'kind',
  'stopped',
  'purpose',
  'since',
  'x',
);
const query = fc.array(fc.tuple(parameter, name), { maxLength: 3 });
const target = fc.record({ kind: name, id: name }, { requiredKeys: [] });
const body = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.record(
    {
      reason: fc.oneof(name, fc.integer(), fc.constant(null)),
      dry_run: fc.oneof(fc.constant(true), fc.anything({ maxDepth: 0 })),
      target: fc.oneof(target, name),
      wait_seconds: fc.oneof(fc.constant(0), fc.integer(), name),
    },
    { requiredKeys: [] },
  ),
);

for (const operation of MANAGED) {
  test(`${operation.name} answers anything as described`, async () => {
    await fc.assert(
      fc.asyncProperty(name, query, body, fc.option(name), (...parts) => asked(operation, ...parts)),
      { numRuns: 20 * soakFactor() },
    );
  });
}

async function asked(
  { name: told, method, path: template, action }: ManagedOperation,
  thing: string,
  parameters: readonly (readonly [string, string])[],
  content: unknown,
  key: string | null,
): Promise<void> {
  const path = template.replace(/\{\w+\}/, () => escaped(thing));
  const search = parameters.map(([of, value]) => `${of}=${escaped(value)}`).join('&');
  const token = await tokenFor(action);
  const answer = await exchange(`${broker.url}${path}${search === '' ? '' : `?${search}`}`, {
    method,
    headers: {
      Authorization: `DPoP ${token}`,
      DPoP: operator.proof({ method, path, token }),
      ...(method === 'POST' ? { 'Content-Type': 'application/json' } : {}),
      ...(key === null || method === 'GET' ? {} : { 'Idempotency-Key': escaped(key).slice(0, 300) }),
    },
    ...(method === 'POST' ? { body: JSON.stringify(content) ?? '' } : {}),
  });
  const shown = `${answer.status} ${answer.body.slice(0, 300)}`;
  assert.ok(answer.status < 500, shown);
  const described = operations().find((each) => `${each.method} ${each.path}` === told);
  const response = described === undefined ? null : responseOf(described, answer.status);
  assert.ok(response, shown);
  assert.deepEqual(complaints(answer, response), [], shown);
}

/** Lone surrogates have no percent-encoding. */
function escaped(text: string): string {
  const encoded = encodeURIComponent(text.toWellFormed());
  return encoded === '.' || encoded === '..' || encoded === '' ? 'x' : encoded;
}
