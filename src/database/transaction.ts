/**
 * A transaction on a plain connection (kysely has its own, equally careful one). What it prevents: `COMMIT` after a
 * swallowed error does not throw, it is answered by the tag ROLLBACK, and a caller that does not look reports as
 * done what was never stored.
 */
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { isConnectionLost, RolledBackError } from './database-error.ts';
import type { Pool, PoolClient } from './pool.ts';

/**
 * Runs `work` between BEGIN and COMMIT; its result counts only once the promise resolves.
 * @throws {RolledBackError} when COMMIT stored nothing
 */
export async function transaction<Result>(
  pool: Pool,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  let isClean = false;
  try {
    await client.query('begin');
    const result = await work(client);
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') throw new RolledBackError();
    isClean = true;
    return result;
  } catch (error) {
    isClean = await rollback(client, error);
    throw error;
  } finally {
    client.release(!isClean);
  }
}

/** @returns whether the connection may be used again; otherwise the transaction could still be open on it */
async function rollback(client: PoolClient, error: unknown): Promise<boolean> {
  if (isConnectionLost(error)) return false;
  try {
    await client.query('rollback');
    return true;
  } catch {
    return false;
  }
}

/**
 * One statement, committed by itself. Unlike `pool.query` it keeps the connection after an ordinary error such as
 * a unique violation, so that a flood of refused requests does not make every one of them connect anew.
 */
export async function runStatement<Row extends QueryResultRow>(
  pool: Pool,
  statement: QueryConfig,
): Promise<QueryResult<Row>> {
  const client = await pool.connect();
  try {
    const result = await client.query<Row>(statement);
    client.release();
    return result;
  } catch (error) {
    client.release(isConnectionLost(error));
    throw error;
  }
}
