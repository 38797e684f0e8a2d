/**
 * The connections of one broker: a few that only mint, so that nothing else can queue in front; a few for operators,
 * so that whoever floods the others does not stand between a person and the kill switch (L2); and the rest.
 */
import type { Kysely } from 'kysely';
import type { Log } from '../errors/log.ts';
import { createPool, openKysely, type Pool } from './pool.ts';

export type Database = {
  mintPool: Pool;
  operatorMintPool: Pool;
  /** For admitting operators. */
  operatorKysely: Kysely<unknown>;
  pool: Pool;
  kysely: Kysely<unknown>;
  close(): Promise<void>;
};

const MINT_CONNECTIONS = 2;
const OPERATOR_MINT_CONNECTIONS = 1;
const OPERATOR_CONNECTIONS = 2;
const CONNECTIONS = 8;

/** A mint that takes longer holds up everything behind it: better to refuse. */
const MINT_TIMEOUT_MILLISECONDS = 2_000;

export function connectDatabase({ url, log }: { url: string; log: Log }): Database {
  const minting = {
    url,
    log,
    statementTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS,
    lockTimeoutMilliseconds: MINT_TIMEOUT_MILLISECONDS / 2,
    planOnce: true,
  };
  const mintPool = createPool({ ...minting, size: MINT_CONNECTIONS, applicationName: 'mayfly mint' });
  const operatorMintPool = createPool({
    ...minting,
    size: OPERATOR_MINT_CONNECTIONS,
    applicationName: 'mayfly operator mint',
  });
  const operatorPool = createPool({
    url,
    size: OPERATOR_CONNECTIONS,
    applicationName: 'mayfly operator',
    log,
  });
  const operatorKysely = openKysely<unknown>(operatorPool);
  const pool = createPool({ url, size: CONNECTIONS, applicationName: 'mayfly', log });
  const kysely = openKysely<unknown>(pool);
  return {
    mintPool,
    operatorMintPool,
    operatorKysely,
    pool,
    kysely,
    async close() {
      await Promise.all([mintPool.end(), operatorMintPool.end(), operatorKysely.destroy(), kysely.destroy()]);
    },
  };
}
