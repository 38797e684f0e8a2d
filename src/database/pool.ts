/**
 * Connections to Postgres, each with its limits: waiting for one, connecting, a statement, a lock, an idle
 * transaction. A broker that cannot decide in time says so (503); it never waits without an end.
 *
 * Every new connection is asked once whether this server may be believed. A replica lags behind and would call a
 * revoked token alive; a server with `synchronous_commit` off forgets revocations that were acknowledged.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from 'kysely';
import pg from 'pg';
import { parseConnectionUrl } from '../config/connection-url.ts';
import type { Log } from '../errors/log.ts';
import { isConnectionLost, UnfitDatabaseError } from './database-error.ts';

export type PoolOptions = {
  url: string;
  /** Connections at most. */
  size: number;
  /** Shown in pg_stat_activity. */
  applicationName: string;
  log: Log;
  /** Waiting for a free connection, and making a new one. */
  connectTimeoutMilliseconds?: number;
  statementTimeoutMilliseconds?: number;
  lockTimeoutMilliseconds?: number;
  idleTransactionTimeoutMilliseconds?: number;
  /** Named statements are planned once a connection, whatever the values: for statements that are made for it. */
  planOnce?: boolean;
  /** What is connected stays so: for what has to work when no new connection is to be had. */
  keepOpen?: boolean;
  /**
   * Commits wait for this machine's disk, not for a synchronous standby: for what a failover may forget, and must not
   * hang when the standby does.
   */
  commitLocally?: boolean;
  /** Asked about every new connection, before it is used for anything. Throws when it leads to the wrong place. */
  admit?: ((client: pg.ClientBase) => Promise<void>) | undefined;
};

export type Pool = pg.Pool;
export type PoolClient = pg.PoolClient;

const DEFAULTS = {
  connectTimeoutMilliseconds: 2_000,
  statementTimeoutMilliseconds: 5_000,
  lockTimeoutMilliseconds: 2_000,
  idleTransactionTimeoutMilliseconds: 10_000,
};
/** Past the server's own limit the answer is not late but lost, e.g. behind a firewall that forgot us. */
const LOST_ANSWER_MILLISECONDS = 2_000;
const LIFETIME = { idleTimeoutMillis: 60_000, maxLifetimeSeconds: 3_600 };
const KEEP_ALIVE_MILLISECONDS = 10_000;

/** @throws {ConnectionUrlError} when the URL is not acceptable; connects later, when first needed */
export function createPool({
  url,
  size,
  applicationName,
  log,
  planOnce = false,
  keepOpen = false,
  commitLocally = false,
  admit,
  ...limits
}: PoolOptions): Pool {
  const {
    connectTimeoutMilliseconds,
    statementTimeoutMilliseconds,
    lockTimeoutMilliseconds,
    idleTransactionTimeoutMilliseconds,
  } = { ...DEFAULTS, ...limits };
  const pool = new pg.Pool({
    ...explicit(url),
    max: size,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMilliseconds,
    ...(keepOpen ? { min: size, idleTimeoutMillis: 0 } : LIFETIME),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MILLISECONDS,
    statement_timeout: statementTimeoutMilliseconds,
    lock_timeout: lockTimeoutMilliseconds,
    idle_in_transaction_session_timeout: idleTransactionTimeoutMilliseconds,
    ...(statementTimeoutMilliseconds > 0 && {
      query_timeout: statementTimeoutMilliseconds + LOST_ANSWER_MILLISECONDS,
    }),
    ...sessionSettings({
      ...(planOnce && { plan_cache_mode: 'force_generic_plan' }),
      ...(commitLocally && { synchronous_commit: 'local' }),
    }),
    async onConnect(client) {
      await prepare(client, { log, isEnding: () => pool.ending });
      await admit?.(client);
    },
  });
  // The connection itself has told it already; unheard, the event would end the broker.
  pool.on('error', () => {});
  return pool;
}

/** For every query but the mint's, which needs named statements (the same pool serves both). Its end ends the pool. */
export function openKysely<Tables>(pool: Pool): Kysely<Tables> {
  const end = async () => {
    if (!pool.ending) await pool.end();
  };
  const watchedPool: PostgresPool = {
    connect: async () => watched(await pool.connect()),
    end,
    options: {}, // read only to open extra connections for cancelling, which nothing here does
  };
  const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: watchedPool }) });
  const destroy = kysely.destroy.bind(kysely);
  kysely.destroy = () => destroy().then(end); // Kysely leaves a pool open that it never used itself
  return kysely;
}

/** Kysely gives every connection back as good; one whose answer was lost must not serve the next query. */
function watched(client: PoolClient): PostgresPoolClient {
  let isLost = false;
  const query = async (text: string, parameters: readonly unknown[]) => {
    try {
      return await client.query(text, [...parameters]);
    } catch (error) {
      isLost ||= isConnectionLost(error);
      throw error;
    }
  };
  return {
    query: query as unknown as PostgresPoolClient['query'],
    release: (discard) => client.release(isLost || discard === true),
  };
}

/** A single connection outside of any pool, e.g. to LISTEN or for one question. Connected and checked. */
export async function connectOnce(options: Omit<PoolOptions, 'size'>): Promise<{
  client: pg.ClientBase;
  close(): Promise<void>;
}> {
  const pool = createPool({ ...options, size: 1 });
  try {
    const client = await pool.connect();
    return {
      client,
      async close() {
        client.release(true);
        await pool.end();
      },
    };
  } catch (error) {
    await pool.end();
    throw error;
  }
}

function sessionSettings(settings: Readonly<Record<string, string>>): pg.ClientConfig {
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`);
  return options.length === 0 ? {} : { options: options.join(' ') };
}

/** Nothing left for the driver to look up in PG… variables. */
function explicit(url: string): pg.ClientConfig {
  const { password, ...target } = parseConnectionUrl(url);
  return { ...target, password: password ?? NO_PASSWORD };
}

/** A function keeps the driver from asking PGPASSWORD and ~/.pgpass. */
const NO_PASSWORD = () => '';

const QUESTION = `select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('default_transaction_isolation') as isolation`;

type Answer = { read_only: boolean; synchronous_commit: string; isolation: string };

async function prepare(
  client: pg.ClientBase,
  { log, isEnding }: { log: Log; isEnding: () => boolean },
): Promise<void> {
  // While a connection is in use nobody else listens: when it breaks, its query has to fail, not the broker.
  client.on('error', (error) => {
    // The embedded Postgres may be quicker to close one than this side: no news, then.
    if (!isEnding()) log.warn({ err: error }, 'a database connection broke');
  });
  const { rows } = await client.query<Answer>(QUESTION);
  const [answer] = rows;
  if (answer === undefined || answer.read_only) {
    throw new UnfitDatabaseError(
      'The database is a replica or read-only. DATABASE_URL has to name the primary.',
    );
  }
  if (answer.synchronous_commit === 'off') {
    throw new UnfitDatabaseError('The database has synchronous_commit off and may forget revocations.');
  }
  // A snapshot per statement: ledger rule L9 stands on it.
  if (answer.isolation !== 'read committed') {
    throw new UnfitDatabaseError(`The database sets default_transaction_isolation to ${answer.isolation}.`);
  }
}
