/** The connections of one broker: a few that only mint, so that nothing else can queue in front, and the rest. */
import type { Kysely } from 'kysely';
import type { Log } from '../errors/log.ts';
import { createPool, openKysely, type Pool } from './pool.ts';

export type Database = {
  mintPool: Pool;
  pool: Pool;
  kysely: Kysely<unknown>;
  close(): Promise<void>;
};

const MINT_CONNECTIONS = 2;
const CONNECTIONS = 8;

/** A mint that takes longer holds up everything behind it: better to refuse. */
const MINT_TIMEOUT_MILLISECONDS = 2_000;

export function connectDatabase({ url, log }: { url: string; log: Log }): Database {
  const mintPool = createPool({
    url,
    size: MINT_CONNECTIONS,
    applicationName: 'mayfly mint',
    log,
    statementTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS,
    lockTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS / 2,
    planOnce: true,
  });
  const pool = createPool({ url, size: CONNECTIONS, applicationName: 'mayfly', log });
  const kysely = openKysely<unknown>(pool);
  return {
    mintPool,
    pool,
    kysely,
    async close() {
      await Promise.all([mintPool.end(), kysely.destroy()]);
    },
  };
}
