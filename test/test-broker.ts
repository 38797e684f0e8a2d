/**
 * A broker on a database of its own and a real socket, with the shipped catalogue and declared keys:
 *
 *   const world = await createTestWorld();          // at the top of the file
 *   const broker = await world.startBroker();       // as many as a test needs, on one database
 *   const agent = world.agent(broker, 'report-writer');
 */
import { randomBytes } from 'node:crypto';
import { CompiledQuery, type Kysely } from 'kysely';
import { faultOfDetails } from '../src/audit/entry-schemas.ts';
import type { Broker } from '../src/broker.ts';
import { startBroker } from '../src/broker.ts';
import type { Catalogue } from '../src/catalogue/catalogue.ts';
import { loadCatalogue } from '../src/catalogue/load-catalogue.ts';
import { type Configuration, readConfiguration } from '../src/config/configuration.ts';
import { createPool, openKysely } from '../src/database/pool.ts';
import { type Log, silentLog } from '../src/errors/log.ts';
import { applyCatalogue } from '../src/revocations/apply-catalogue.ts';
import type { SinkDeclaration } from '../src/sinks/sink-declaration.ts';
import { type Clock, systemClock } from '../src/time/clock.ts';
import { createTestAgent, type SessionKey } from './test-agent.ts';
import { beforeDrop, createTestDatabase } from './test-database.ts';
import { createTestOperator } from './test-operator.ts';
import { copyScopesWithKeys } from './test-scopes.ts';
import { createTestVerifier } from './test-verifier.ts';

/** Not where brokers listen in tests: nothing may be taken from the request. */
export const TEST_ISSUER = 'https://broker.example.com';

const AUDIENCE_FILES: Readonly<Record<string, string>> = {
  'https://customers.example.com': 'customers',
  'https://storage.example.com': 'storage',
};

export type TestBrokerOptions = {
  settings?: Record<string, string>;
  clock?: Clock;
  log?: Log;
  sinks?: readonly SinkDeclaration[];
  catalogue?: Catalogue;
};

/** @param options.files policy files beside the shipped ones, by path, each with a development key */
export async function createTestWorld({ files = {} }: { files?: Readonly<Record<string, string>> } = {}) {
  const database = await createTestDatabase();
  const scopes = await copyScopesWithKeys(files);
  const { catalogue, problems } = await loadCatalogue(scopes.directory);
  if (catalogue === null) throw new Error(JSON.stringify(problems, null, 1));
  const owner = openKysely<unknown>(
    createPool({
      url: database.ownerUrl,
      size: 2,
      applicationName: 'test owner',
      log: silentLog,
      connectTimeoutMilliseconds: 20_000,
    }),
  );
  const kek = randomBytes(32).toString('base64url');
  const brokers: Broker[] = [];
  await applyCatalogue({ owner, catalogue, actor: 'test', clock: systemClock });
  beforeDrop(async () => {
    await Promise.all(brokers.map((broker) => broker.stop()));
    try {
      await requireKnownEntries(owner);
    } finally {
      await owner.destroy();
      await scopes.remove();
    }
  });

  function configuration(settings: Record<string, string> = {}): Configuration {
    return {
      ...readConfiguration({
        DATABASE_URL: database.applicationUrl,
        MAYFLY_KEK: kek,
        MAYFLY_ISSUER: TEST_ISSUER,
        MAYFLY_SCOPES_DIR: scopes.directory,
        MAYFLY_DPOP_NONCE: 'optional',
        MAYFLY_DRAIN_SECONDS: '1',
        MAYFLY_DRILL_SECONDS: '0',
        ...settings,
      }),
      port: 0,
      metrics: { port: 0, host: '127.0.0.1' },
    };
  }

  return {
    database,
    scopes,
    catalogue,
    owner,
    /** What a broker in a process of its own needs in its environment. */
    environment: (): Record<string, string> => ({
      DATABASE_URL: database.applicationUrl,
      MAYFLY_KEK: kek,
      MAYFLY_ISSUER: TEST_ISSUER,
      MAYFLY_SCOPES_DIR: scopes.directory,
      MAYFLY_DRILL_SECONDS: '0',
    }),

    /** Makes other files the applied catalogue, as the owner of the database does. */
    apply: (files: Catalogue) =>
      applyCatalogue({ owner, catalogue: files, actor: 'test', clock: systemClock }),

    async startBroker({
      settings,
      clock = systemClock,
      log = silentLog,
      sinks = [],
      catalogue: declared = catalogue,
    }: TestBrokerOptions = {}) {
      const broker = await startBroker({
        configuration: configuration(settings),
        catalogue: declared,
        sinks,
        log,
        clock,
      });
      brokers.push(broker);
      return broker;
    },

    agent(broker: { url: string }, name: string) {
      const key = scopes.keys.get(name);
      if (key === undefined) throw new Error(`no agent ${name}`);
      return createTestAgent({ url: broker.url, issuer: TEST_ISSUER, clientId: name, key });
    },

    /** @param session its key; a new one when absent */
    operator(broker: { url: string }, name: string, session?: SessionKey) {
      const key = scopes.keys.get(name);
      if (key === undefined) throw new Error(`no operator ${name}`);
      return createTestOperator({
        url: broker.url,
        issuer: TEST_ISSUER,
        clientId: name,
        key,
        ...(session === undefined ? {} : { session }),
      });
    },

    /** A client that authenticates as the resource server of this audience. */
    resourceServer(broker: { url: string }, audience: string) {
      const key = scopes.keys.get(AUDIENCE_FILES[audience] ?? '');
      if (key === undefined) throw new Error(`no resource ${audience}`);
      return createTestAgent({ url: broker.url, issuer: TEST_ISSUER, clientId: audience, key });
    },

    /** An instance that holds a copy of the ledger for the resource server of this audience. */
    verifier(broker: { url: string }, audience: string) {
      const key = scopes.keys.get(AUDIENCE_FILES[audience] ?? '');
      if (key === undefined) throw new Error(`no resource ${audience}`);
      return createTestVerifier({ url: broker.url, issuer: TEST_ISSUER, audience, key });
    },

    async query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
      return (await owner.executeQuery<Row>(CompiledQuery.raw(text, values))).rows;
    },
  };
}

export type TestWorld = Awaited<ReturnType<typeof createTestWorld>>;

const DATABASE_IS_GONE = '3D000';

/** Whatever a test did: each line of the record is one of those that are described, and holds nothing else. */
async function requireKnownEntries(owner: Kysely<unknown>): Promise<void> {
  const lines = CompiledQuery.raw('select action, details from audit_entries');
  const { rows } = await owner
    .executeQuery<{ action: string; details: unknown }>(lines)
    .catch((error: { code?: string }) => {
      if (error.code === DATABASE_IS_GONE) return { rows: [] }; // the test took it away
      throw error;
    });
  const faults = rows.map(({ action, details }) => [action, faultOfDetails(action, details), details]);
  const strange = faults.filter(([, fault]) => fault !== null);
  if (strange.length > 0)
    throw new Error(`lines that nobody described: ${JSON.stringify(strange.slice(0, 3))}`);
}
