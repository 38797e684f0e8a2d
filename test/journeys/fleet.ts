/**
 * A deployment in small: brokers in processes of their own on one database, resource servers' verifiers in others,
 * agents that mint and operators that stop them.
 *
 *   const fleet = await createFleet();            // at the top of a file
 *   const token = await fleet.mint(session);
 *   await fleet.everywhere(session, token);       // what each verifier says of it
 */
import { after } from 'node:test';
import { tokenHash } from '../../src/dpop/proof.ts';
import type { VerifierOptions } from '../../src/verifier/index.ts';
import { type BrokerProcess, freePort, startBrokerProcess } from '../broker-process.ts';
import { newSessionKey, type SessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import type { TestDatabase } from '../test-database.ts';
import { type Asked, startVerifierProcess, type VerifierProcess } from './verifier-process.ts';

export const CUSTOMERS = 'https://customers.example.com';
export const STORAGE = 'https://storage.example.com';
const FILES: Readonly<Record<string, string>> = { [CUSTOMERS]: 'customers', [STORAGE]: 'storage' };

export const READ_CUSTOMERS = { action: 'db:read:customers', url: `${CUSTOMERS}/customers` };
export const LIST_EXPORTS = { action: 'storage:list:exports', url: `${STORAGE}/exports` };

export type Use = typeof READ_CUSTOMERS;
export type Minted = { session: SessionKey; token: string; use: Use };

export type FleetOptions = {
  brokers?: number;
  /** One process for each; default two of the customers' server and one of the storage. */
  verifiers?: readonly { resource: string; instances?: number; brokers?: readonly string[] }[];
  settings?: Readonly<Record<string, string>>;
  /** Puts something between brokers and Postgres. @returns where brokers connect */
  reachDatabase?: (database: TestDatabase) => Promise<string>;
};

export async function createFleet(options: FleetOptions = {}) {
  const { brokers: count = 2, settings = {} } = options;
  const world = await createTestWorld();
  const databaseUrl = await options.reachDatabase?.(world.database);
  const brokers: BrokerProcess[] = [];
  const verifiers: VerifierProcess[] = [];
  after(async () => {
    await Promise.all(verifiers.map((each) => each.kill()));
    for (const { child } of brokers) child.kill('SIGCONT');
    for (const { child } of brokers) child.kill('SIGTERM');
    await Promise.all(brokers.map(({ exited }) => exited));
  });

  /** Of one broker. */
  async function startBroker(more: Readonly<Record<string, string>> = {}): Promise<BrokerProcess> {
    const broker = startBrokerProcess({
      settings: {
        ...world.environment(),
        ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
        MAYFLY_PORT: String(await freePort()),
        MAYFLY_DPOP_NONCE: 'optional',
        MAYFLY_LOG_LEVEL: 'fatal',
        ...settings,
        ...more,
      },
    });
    brokers.push(broker);
    await broker.url;
    return broker;
  }

  function startVerifiers({
    resource,
    instances = 1,
    brokers: at,
    environment,
  }: {
    resource: string;
    instances?: number;
    brokers: readonly string[];
    environment?: Readonly<Record<string, string>>;
  }): VerifierProcess {
    const key = world.scopes.keys.get(FILES[resource] ?? '') as VerifierOptions['key'];
    const started = startVerifierProcess(
      { issuer: TEST_ISSUER, brokers: at, resource, key, instances },
      environment,
    );
    verifiers.push(started);
    return started;
  }

  for (let started = 0; started < count; started += 1) await startBroker();
  const urls = await Promise.all(brokers.map(({ url }) => url));
  const wanted = options.verifiers ?? [
    { resource: CUSTOMERS },
    { resource: CUSTOMERS },
    { resource: STORAGE },
  ];
  for (const each of wanted) startVerifiers({ brokers: urls, ...each });
  await Promise.all(verifiers.map((each) => each.ready()));
  const agents = urls.map((url) => world.agent({ url }, 'report-writer'));
  const prover = agents[0];
  if (prover === undefined) throw new Error('a fleet has a broker');

  /** A proof is good at one verifier, once. */
  function asked({ session, token, use }: Minted): Asked {
    const { pathname } = new URL(use.url);
    const claims = { htm: 'GET', htu: use.url, ath: tokenHash(token), nonce: undefined };
    const proof = (prover as NonNullable<typeof prover>).proof(session, { claims });
    return {
      action: use.action,
      request: {
        method: 'GET',
        target: pathname,
        headers: [
          ['Authorization', `DPoP ${token}`],
          ['DPoP', proof],
        ],
      },
    };
  }

  return {
    world,
    brokers,
    urls,
    verifiers,
    agents,
    asked,
    startBroker,
    startVerifiers,
    operator: (name: string, at = 0) => world.operator({ url: urls[at] ?? '' }, name),

    /** @param at which broker mints */
    async mint({ session = newSessionKey(), use = READ_CUSTOMERS, at = 0 } = {}): Promise<Minted> {
      const { body, status } = await (agents[at] ?? prover).token(session, { scope: use.action });
      if (status !== 200) throw new Error(`no token: ${JSON.stringify(body)}`);
      return { session, token: body.access_token, use };
    },

    /** What every instance that enforces it says of a token. */
    async everywhere(minted: Minted, among: readonly VerifierProcess[] = verifiers): Promise<string[]> {
      const { origin } = new URL(minted.use.url);
      const enforcing = among.filter(({ resource, child }) => resource === origin && child.connected);
      return (await Promise.all(enforcing.map((each) => each.decide([asked(minted)])))).flat(2);
    },
  };
}

export type Fleet = Awaited<ReturnType<typeof createFleet>>;
