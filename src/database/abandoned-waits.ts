/**
 * Waits for a synchronous standby that nobody waits for any more. Whoever asked gives up after a time, closes its
 * connection and makes another; the server's end of the old one notices nothing while it waits, and no timeout of
 * Postgres ends that. Left alone they pile up until nobody can connect, and who wants to kill is nobody, too (L2).
 * A wait that is ended leaves its statement committed here; nobody was told that it is anywhere.
 */
import type { Pool } from 'pg';
import { runStatement } from './transaction.ts';

/** Longer than any caller waits for an answer: see `pool.ts`. */
export const ABANDONED_AFTER_SECONDS = 8;

const END_ABANDONED = {
  name: 'abandoned_waits',
  text: `
select count(*) filter (where pg_cancel_backend(a.pid))::integer as ended
  from pg_stat_activity a
 where a.usename = current_user and a.datname = current_database() and a.wait_event = 'SyncRep'
   and a.query_start < clock_timestamp() - make_interval(secs => $1)`,
};

/**
 * @param pool kept open, and never waits for a commit itself
 * @returns how many waits of this role were ended
 */
export async function endAbandonedWaits(
  pool: Pool,
  { afterSeconds = ABANDONED_AFTER_SECONDS } = {},
): Promise<number> {
  const { rows } = await runStatement<{ ended: number }>(pool, { ...END_ABANDONED, values: [afterSeconds] });
  return rows[0]?.ended ?? 0;
}
