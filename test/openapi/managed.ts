/**
 * The operations of the management API, out of the document: whose `x-caller` is an action of mayfly. Each is asked
 * about a thing that exists, by an operator with a token for that action.
 */
import assert from 'node:assert/strict';
import type { Broker } from '../../src/broker.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { newSessionKey } from '../test-agent.ts';
import type { TestWorld } from '../test-broker.ts';
import { type Answer, decoded, operations } from './contract.ts';
import { exchange } from './exchange.ts';

export type ManagedOperation = {
  /** As the witness knows it: `POST /v1/sessions/{id}/revoke`. */
  name: string;
  method: 'GET' | 'POST';
  path: string;
  action: string;
};

export const MANAGED: readonly ManagedOperation[] = operations()
  .filter(({ operation }) => operation['x-caller'].startsWith('mayfly:'))
  .map(({ method, path, operation }) => ({
    name: `${method} ${path}`,
    method,
    path,
    action: operation['x-caller'],
  }));

const NOBODY: Readonly<Record<string, string>> = {
  '{jti}': 'tok_01kdvdnad14k88pftagytay02x',
  '{kid}': 'A'.repeat(43),
  '{path}': '999',
};

export type Sent = {
  body?: object | undefined;
  headers?: Record<string, string | string[]>;
  query?: string;
  /** Another token; null for none. */
  action?: string | null;
  on?: Broker;
};

/** Whoever holds every role that changes something. */
const OPERATOR = 'olivia';

export function createManagement(world: TestWorld, broker: Broker) {
  /** What `{id}` and the like stand for, of something that exists and was not touched by another case. */
  async function existing({ path }: ManagedOperation): Promise<string> {
    const things: Readonly<Record<string, () => Promise<string>>> = {
      sessions: async () => String((await newToken()).sid),
      tokens: async () => String((await newToken()).jti),
      agents: async () => 'report-writer',
      'signing-keys': newestLedgerKey,
      'kill-switch': stoppedZone,
      audit: async () => (path.endsWith('{path}') ? '000.p/1' : placedEntry()),
    };
    if (!path.includes('{')) return path;
    const [, , noun = ''] = path.split('/');
    const thing = things[noun];
    assert.ok(thing !== undefined, `say here what there is of ${noun}`);
    return path.replace(/\{\w+\}/, await thing());
  }

  /** One in which nobody else has anything to do here. */
  async function stoppedZone(): Promise<string> {
    const [row] = await world.query<{ id: string }>(
      `select id from engage_kill_switch($1, 'zone', 'support', 'a test', 'olivia', $2, null, null, null, null)`,
      [newIdentifier('rev', systemClock), newIdentifier('aud', systemClock)],
    );
    return row?.id ?? '';
  }

  /** A line that has its place in the log. */
  async function placedEntry(): Promise<string> {
    const [row] = await world.query<{ id: string }>(
      'select entry_id as id from audit_leaves where leaf_index < (select max(size) from audit_checkpoints) limit 1',
    );
    return row?.id ?? '';
  }

  async function newToken() {
    const { body } = await world.agent(broker, 'report-writer').token(newSessionKey());
    return decoded(String(body.access_token)).claims;
  }

  /** One that signs no tokens, so that revoking it disturbs nobody. */
  async function newestLedgerKey(): Promise<string> {
    const [row] = await world.query<{ kid: string }>(
      `select kid from signing_keys where purpose = 'ledger' order by generation desc limit 1`,
    );
    return row?.kid ?? '';
  }

  /** Everything of a request but sending it. */
  async function prepare(
    { method, path: template, action: own }: ManagedOperation,
    sent: Sent & { path?: string } = {},
  ) {
    const { on = broker, query = '', headers = {}, action = own, body } = sent;
    const path = sent.path ?? template.replaceAll(/\{\w+\}/g, (name) => NOBODY[name] ?? NOBODY_ELSE);
    const operator = world.operator(on, OPERATOR);
    const token = action === null ? null : await operator.token(action);
    const proof = token === null ? null : operator.proof({ method, path, token });
    return (): Promise<Answer> =>
      exchange(`${on.url}${path}${query}`, {
        method,
        headers: {
          ...(token === null ? {} : { Authorization: `DPoP ${token}` }),
          ...(proof === null ? {} : { DPoP: proof }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
  }

  return {
    existing,
    prepare,
    stoppedZone,
    /** A live enforcement point that has applied nothing yet. */
    async addVerifier() {
      await world.query(
        `insert into verifiers (instance, resource, started_at, generation, applied_epoch, renewed_at, lease_seconds,
                                lease_ends_at)
         values ($1, 'https://customers.example.com', now(), 1, 0, now(), 300, now() + interval '300 seconds')`,
        [newIdentifier('ver', systemClock)],
      );
    },
    async leaveVerifiers() {
      await world.query(
        'update verifiers set applied_epoch = (select epoch from revocation_head), closed_at = now() where closed_at is null',
      );
    },
    /** About a thing that does not exist, unless a path is given. */
    ask: async (operation: ManagedOperation, sent: Sent & { path?: string } = {}): Promise<Answer> =>
      (await prepare(operation, sent))(),
  };
}

const NOBODY_ELSE = 'ses_01kdvdnad14k88pftagytay02x';
