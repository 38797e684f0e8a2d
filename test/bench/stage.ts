/**
 * What the servers have in common: one throw-away Postgres that stores as durably as in production, with a
 * database for each of them, and the same four clients, which are agents of the shipped catalogue.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { migrate } from '../../src/database/migrate.ts';
import { createPool, openKysely, type Pool } from '../../src/database/pool.ts';
import { APPLICATION_ROLE, DATABASE_NAME, databaseGrants, OWNER_ROLE } from '../../src/database/roles.ts';
import { silentLog } from '../../src/errors/log.ts';
import { applyCatalogue } from '../../src/revocations/apply-catalogue.ts';
import { systemClock } from '../../src/time/clock.ts';
import { copyScopesWithKeys, type TestScopes } from '../test-scopes.ts';
import type { BenchClient } from './bench-client.ts';

export type Stage = {
  postmasterPid: number;
  postgresVersion: string;
  clients: readonly BenchClient[];
  scopesDirectory: string;
  keyEncryptionKey: string;
  ownerUrl: string;
  /** The private key that a client of the catalogue is declared with. */
  keyOf(clientId: string): NonNullable<ReturnType<TestScopes['keys']['get']>>;
  databaseUrls: { mayfly: string; unrecorded: string; floor: string; peer: string };
  /** Resolves when each line of mayfly's record has its place and a signed head over it. */
  untilLogged(): Promise<void>;
  close(): Promise<void>;
};

/** What a server in production has and one on a laptop does not; all else is as the embedded Postgres sets it. */
const AS_IN_PRODUCTION = { wal_level: 'replica', max_wal_size: '1GB' };

/** Four agents and what each asks for. */
const WANTED: readonly (Pick<BenchClient, 'scope' | 'resource'> & { clientId: string })[] = [
  { clientId: 'report-writer', scope: 'db:read:customers', resource: 'https://customers.example.com' },
  { clientId: 'support-assistant', scope: 'db:read:orders', resource: 'https://customers.example.com' },
  { clientId: 'billing-runner', scope: 'billing:read:invoices', resource: 'https://billing.example.com' },
  { clientId: 'incident-responder', scope: 'tools:search:documents', resource: 'https://tools.example.com' },
];

export async function openStage(): Promise<Stage> {
  await using opening = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), 'mayfly-bench-'));
  opening.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const postgres = await startEmbeddedPostgres({
    dataDirectory,
    log: silentLog,
    clock: systemClock,
    settings: AS_IN_PRODUCTION,
  });
  opening.defer(postgres.stop);
  const scopes = await copyScopesWithKeys();
  opening.defer(scopes.remove);
  await prepareMayfly(postgres.ownerUrl, scopes);
  const postgresVersion = await createDatabases(postgres, ['bench_floor', 'bench_peer']);
  await createUnrecorded(postgres);
  const watcher = createPool({ url: postgres.ownerUrl, size: 1, applicationName: 'bench', log: silentLog });
  opening.defer(() => watcher.end());

  const urlOf = (database: string) => embeddedUrls(postgres.socketDirectory, database).applicationUrl;
  const opened = opening.move();
  return {
    postmasterPid: postgres.pid,
    postgresVersion,
    clients: WANTED.map((wanted) => withKey(wanted, scopes)),
    scopesDirectory: scopes.directory,
    ownerUrl: postgres.ownerUrl,
    keyOf: (clientId) => keyOf(clientId, scopes),
    keyEncryptionKey: randomBytes(32).toString('base64url'),
    databaseUrls: {
      mayfly: postgres.applicationUrl,
      unrecorded: urlOf(UNRECORDED),
      floor: urlOf('bench_floor'),
      peer: urlOf('bench_peer'),
    },
    untilLogged: () => untilLogged(watcher),
    close: () => opened.disposeAsync(),
  };
}

async function prepareMayfly(ownerUrl: string, scopes: TestScopes): Promise<void> {
  await migrate({ ownerUrl, log: silentLog });
  const { catalogue, problems } = await loadCatalogue(scopes.directory);
  if (catalogue === null) throw new Error(JSON.stringify(problems, null, 1));
  const owner = openKysely<unknown>(
    createPool({ url: ownerUrl, size: 1, applicationName: 'bench', log: silentLog }),
  );
  try {
    await applyCatalogue({ owner, catalogue, actor: 'bench', clock: systemClock });
  } finally {
    await owner.destroy();
  }
}

/** The other two make their tables themselves. @returns the version of Postgres */
async function createDatabases(
  { socketDirectory }: EmbeddedPostgres,
  names: readonly string[],
): Promise<string> {
  const { superuserUrl } = embeddedUrls(socketDirectory, 'postgres');
  const client = new pg.Client({ connectionString: superuserUrl, ssl: false });
  await client.connect();
  try {
    for (const name of names) await client.query(`create database ${name} owner ${APPLICATION_ROLE}`);
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version ?? 'unknown';
  } finally {
    await client.end();
  }
}

const UNRECORDED = 'bench_unrecorded';

/**
 * A copy of mayfly's database that keeps no record. The trigger lets the statements and their plans be what they are;
 * what it costs itself (a call for each line, less than a microsecond or two) makes the log look that much cheaper.
 */
async function createUnrecorded({ socketDirectory }: EmbeddedPostgres): Promise<void> {
  const inDatabase = async (database: string, statements: readonly string[]) => {
    const { superuserUrl } = embeddedUrls(socketDirectory, database);
    const client = new pg.Client({ connectionString: superuserUrl, ssl: false });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await inDatabase('postgres', [
    `create database ${UNRECORDED} template ${DATABASE_NAME} owner ${OWNER_ROLE}`,
    ...databaseGrants(UNRECORDED),
  ]);
  await inDatabase(UNRECORDED, [
    'create function throw_away() returns trigger language plpgsql as $$ begin return null; end $$',
    'create trigger audit_entries_nowhere before insert on audit_entries for each row execute function throw_away()',
  ]);
}

const LOOK_MILLISECONDS = 20;
const LOGGED_WITHIN_MILLISECONDS = 60_000;
/** Little work, since it counts as mayfly's: only what came after the head's snapshot is looked at. */
const WAITS = `
  select h.target is not null
           or h.size > coalesce((select max(c.size) from audit_checkpoints c), 0)
           or exists (select from audit_entries e where e.xid >= pg_snapshot_xmax(h.seen)::text::bigint)
           or exists (select from audit_entries e
                       where e.xid = any (array(select pg_snapshot_xip(h.seen)::text::bigint))) as waits
    from audit_log_head h`;

async function untilLogged(pool: Pool): Promise<void> {
  const deadline = performance.now() + LOGGED_WITHIN_MILLISECONDS;
  for (;;) {
    const { rows } = await pool.query<{ waits: boolean }>(WAITS);
    if (rows[0]?.waits === false) return;
    if (performance.now() > deadline) throw new Error('some lines of the record have no signed head');
    await delay(LOOK_MILLISECONDS);
  }
}

function keyOf(clientId: string, { keys }: TestScopes) {
  const key = keys.get(clientId);
  if (key === undefined) throw new Error(`the catalogue has no ${clientId}`);
  return key;
}

function withKey(wanted: (typeof WANTED)[number], scopes: TestScopes): BenchClient {
  const privateJwk = keyOf(wanted.clientId, scopes);
  const { d: _, ...publicJwk } = privateJwk;
  return { ...wanted, privateJwk, publicJwk };
}
