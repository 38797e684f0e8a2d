/**
 * Who may do what, as one picture that is reviewed: every operation of the document below /v1/ and every kind of
 * caller. UPDATE_GRID=1 draws it anew; the difference is what a review looks at.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { ROLES, type Role } from '../../src/catalogue/roles.ts';
import {
  MANAGEMENT_ACTIONS,
  type ManagementAction,
  rolesMay,
} from '../../src/operators/management-actions.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, type TestWorld } from '../test-broker.ts';
import type { TestOperator } from '../test-operator.ts';
import { operations } from './contract.ts';

const EXPECTED = new URL('grid.expected.txt', import.meta.url);

/** One operator of each role and of no other. */
const PEOPLE: Readonly<Record<Role, string>> = {
  admin: 'ada',
  approver: 'pia',
  auditor: 'aurel',
  security: 'sam',
};

const COLUMNS = [...ROLES, 'agent', 'resource server', 'nobody'] as const;
type Column = (typeof COLUMNS)[number];

/** `operations` sorts nothing: the document's order is the grid's. */
const rows = operations()
  .filter(({ path }) => path.startsWith('/v1/'))
  .map(({ method, path, operation }) => ({
    name: `${method} ${path}`,
    method,
    /** About nothing that exists. */
    path: path.replaceAll(/\{\w+\}/g, 'ses_01kdvdnad14k88pftagytay02x'),
    caller: operation['x-caller'],
    action: /mayfly:[a-z:-]+/.exec(operation['x-caller'])?.[0] as ManagementAction | undefined,
  }));
type Row = (typeof rows)[number];

let world: TestWorld;
let broker: Broker;
const people = new Map<Role, TestOperator>();
before(async () => {
  const files = Object.entries(PEOPLE).map(([role, name]) => [
    `operators/${name}.yaml`,
    `operator: ${name}\ntitle: Has one role\nroles: [${role}]\ndevelopment_key: true\n`,
  ]);
  world = await createTestWorld({ files: Object.fromEntries(files) });
  broker = await world.startBroker();
  for (const role of ROLES) people.set(role, world.operator(broker, PEOPLE[role]));
});

test('who may call which operation is what was reviewed', async () => {
  const table = [['', ...COLUMNS, 'caller']];
  for (const row of rows) {
    const cells: string[] = [];
    for (const column of COLUMNS) cells.push(await cellOf(row, column));
    table.push([row.name, ...cells, row.caller]);
  }
  const drawn = draw(table);
  if (process.env.UPDATE_GRID === '1') writeFileSync(EXPECTED, drawn);
  assert.equal(
    drawn,
    readFileSync(EXPECTED, 'utf8'),
    'Look at it: UPDATE_GRID=1 node --test test/openapi/grid.test.ts',
  );
});

test('every management action is had by some role, and used by some operation or not there yet', () => {
  for (const [name, { roles }] of Object.entries(MANAGEMENT_ACTIONS)) assert.ok(roles.length > 0, name);
  const used = new Set(rows.flatMap(({ action }) => action ?? []));
  for (const name of used) assert.ok(name in MANAGEMENT_ACTIONS, name);
});

test('the token endpoint gives each role its actions and no others', async () => {
  for (const role of ROLES) {
    const session = newSessionKey();
    for (const action of Object.keys(MANAGEMENT_ACTIONS) as ManagementAction[]) {
      const { status } = await operatorOf(role).agent.token(session, { scope: action });
      assert.equal(status, rolesMay([role], action) ? 200 : 400, `${role} ${action}`);
    }
  }
});

/** `yes` when the operation looks at what is asked; else how the caller is kept from it. */
async function cellOf(row: Row, column: Column): Promise<string> {
  if (column === 'nobody') return outcome(await send(row, null));
  if (column === 'agent') return agentsCell(row);
  if (column === 'resource server') return resourceServersCell(row);
  return operatorsCell(row, operatorOf(column));
}

/** With a token for the action if there is one to be had; without, one for another action has to be of no use. */
async function operatorsCell(row: Row, operator: TestOperator): Promise<string> {
  const { action } = row;
  const mint = await operator.agent.token(operator.session(), { scope: action ?? 'mayfly:read:sessions' });
  if (mint.status === 200) {
    const answer = await send(row, operator, mint.body.access_token);
    return action === undefined ? outcome(answer) : looked(answer);
  }
  const other = await operator.token('mayfly:read:sessions');
  assert.equal((await send(row, operator, other)).body.code, 'insufficient_scope', row.name);
  return 'no token';
}

/** No management token, and no way in with its own. */
async function agentsCell(row: Row): Promise<string> {
  const session = newSessionKey();
  const agent = world.agent(broker, 'report-writer');
  const management = await agent.token(session, { scope: row.action ?? 'mayfly:read:sessions' });
  assert.equal(management.body.code, 'invalid_scope');
  const own = await agent.token(session);
  return outcome(await send(row, world.operator(broker, PEOPLE.admin, session), own.body.access_token));
}

/** No token at all; where it may ask, with its assertion. */
async function resourceServersCell(row: Row): Promise<string> {
  const server = world.resourceServer(broker, 'https://customers.example.com');
  const session = newSessionKey();
  const mint = await server.token(session, { scope: row.action ?? 'mayfly:read:sessions' });
  assert.equal(mint.body.code, 'unauthorized_client');
  const wearer = world.operator(broker, PEOPLE.admin, session);
  const asToken = outcome(await send(row, wearer, server.assertion()));
  const { method, path } = row;
  const headers = { Authorization: `Bearer ${server.assertion()}` };
  const asAssertion = outcome(await operatorOf('admin').send({ method, path, headers }));
  return asAssertion === 'yes' ? 'yes' : asToken;
}

function send({ method, path }: Row, operator: TestOperator | null, token: string | null = null) {
  const request = { method, path, ...(method === 'POST' ? { body: {} } : {}) };
  const sender = operator ?? operatorOf('admin');
  const proof = token === null ? null : sender.proof({ ...request, token });
  return sender.send({ ...request, token, proof });
}

/** What kept them out, or `yes`. */
function outcome({ status, body }: { status: number; body: { code?: string } | null }): string {
  return status < 300 ? 'yes' : (body?.code ?? String(status));
}

/** Past the guard anything may be wrong with a request about nothing, but nothing with who asks. */
function looked({ status, body }: { status: number; body: { code?: string } | null }): string {
  assert.ok(status < 500, `${status}`);
  return status === 401 || status === 403 ? outcome({ status, body }) : 'yes';
}

function operatorOf(role: Role): TestOperator {
  const operator = people.get(role);
  assert.ok(operator);
  return operator;
}

/** Columns as wide as their widest cell. */
function draw(table: readonly (readonly string[])[]): string {
  const widths = table[0]?.map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)));
  return table
    .map(
      (cells) =>
        `${cells
          .map((cell, column) => cell.padEnd(widths?.[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
