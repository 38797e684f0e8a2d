/**
 * A migrated, empty database for one test file, cloned from the run's template in less than a tenth of a second:
 *
 *   const database = await createTestDatabase();   // at the top of the file: dropped after its last test
 *   const database = await createTestDatabase(t);  // in a test or hook: dropped after it
 *   const database = await createEmptyDatabase(t); // the same, not migrated
 *
 * Without the global setup (`node --test test/x.test.ts`) the file gets a cluster of its own.
 */
import { randomBytes } from 'node:crypto';
import { after, type TestContext } from 'node:test';
import { type EmbeddedUrls, embeddedUrls } from '../src/database/embedded/embedded-urls.ts';
import { databaseGrants, OWNER_ROLE, SCHEMA_STATEMENTS } from '../src/database/roles.ts';
import {
  asSuperuser,
  SOCKET_VARIABLE,
  startTestCluster,
  TEMPLATE_NAME,
  type TestCluster,
} from './test-cluster.ts';

export type TestDatabase = EmbeddedUrls & {
  name: string;
  /** Ends every connection to it first. Can be called again. */
  drop(): Promise<void>;
};

let ownCluster: Promise<TestCluster> | undefined;
const drops: (() => Promise<void>)[] = [];
const closings: (() => Promise<void>)[] = [];

after(async () => {
  for (const close of closings) await close();
  if (ownCluster !== undefined) return (await ownCluster).stop();
  await Promise.all(drops.map((drop) => drop()));
});

type Scope = Pick<TestContext, 'after'>;

/** @param t drop it after this test; otherwise after the file's last test */
export async function createTestDatabase(t?: Scope): Promise<TestDatabase> {
  return create(`template ${TEMPLATE_NAME} strategy file_copy`, t);
}

export async function createEmptyDatabase(t?: Scope): Promise<TestDatabase> {
  const database = await create('', t);
  const { socketDirectory, name } = database;
  await asSuperuser(
    socketDirectory,
    async (client) => {
      for (const statement of SCHEMA_STATEMENTS) await client.query(statement);
    },
    name,
  );
  return database;
}

async function create(options: string, t: Scope | undefined): Promise<TestDatabase> {
  const socketDirectory = await clusterSocket();
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asSuperuser(socketDirectory, async (client) => {
    await client.query(`create database ${name} owner ${OWNER_ROLE} ${options}`);
    for (const statement of databaseGrants(name)) await client.query(statement);
  });
  const drop = () =>
    asSuperuser(socketDirectory, async (client) => {
      await client.query(`drop database if exists ${name} with (force)`);
    });
  if (t === undefined) drops.push(drop);
  else t.after(drop);
  return { ...embeddedUrls(socketDirectory, name), name, drop };
}

/** Closes what is connected to a database of this file, before that is dropped; `after` would come too late. */
export function beforeDrop(close: () => Promise<void>): void {
  closings.push(close);
}

async function clusterSocket(): Promise<string> {
  const given = process.env[SOCKET_VARIABLE];
  if (given !== undefined) return given;
  ownCluster ??= startTestCluster();
  return (await ownCluster).socketDirectory;
}
