/**
 * Statements whose commit may have to wait for a synchronous standby. No timeout of Postgres covers that wait, and
 * a commit that waits keeps its locks: one that nobody bounds holds up everything behind it. So a second connection
 * looks on, and ends the wait when it takes too long. The statement then completes all the same, with a warning:
 * it is committed here, and whether it is anywhere else nobody knows (ledger rule L21). The wait of others who stand
 * in the way is ended sooner, for they are not what is being waited for.
 */
import type { QueryConfig, QueryResultRow } from 'pg';
import type { Log } from '../errors/log.ts';
import { isConnectionLost, sqlState } from './database-error.ts';
import type { Pool, PoolClient } from './pool.ts';

export type Committed<Row> = {
  rows: Row[];
  /** False when it is not known whether the standby has it. True also where none is configured. */
  replicated: boolean;
};

/** Runs one statement that commits by itself. */
export type CommitStatement = <Row extends QueryResultRow>(statement: QueryConfig) => Promise<Committed<Row>>;

const PATIENCE_MILLISECONDS = 1_000;
/** Until the onlooker first looks, and from one look to the next. */
const LOOK_MILLISECONDS = 100;
/** For so long after a standby did not answer, nobody waits for it as patiently again. */
const DISTRUST_MILLISECONDS = 30_000;
const DISTRUSTFUL_PATIENCE_MILLISECONDS = LOOK_MILLISECONDS;

/** A warning without a code of its own; the words depend on the language of the server. */
const WARNING = '01000';
const CANCELED = '57014';

/** Changes nothing and commits all the same: when the standby confirms it, it has everything before it. */
export const EMPTY_COMMIT: QueryConfig = {
  name: 'empty_commit',
  text: `select pg_logical_emit_message(true, 'mayfly', '') is not null as committed`,
};

/*
 * Those in the way may stand in a queue themselves, so the whole queue is looked through. The owner's waits are another
 * role's to a broker; the owner lets it end those that stand before it.
 */
const END_WAITS = `
  with recursive in_the_way (pid) as (
    select unnest(pg_blocking_pids($1))
     union
    select unnest(pg_blocking_pids(i.pid)) from in_the_way i
  ), waits (pid) as materialized (
    select waiting.pid
      from pg_stat_activity as waiting
     where waiting.wait_event = 'SyncRep'
       and (waiting.pid in (select i.pid from in_the_way i) or (waiting.pid = $1 and $2))
  )
  select w.pid, pg_cancel_backend(w.pid) as ended from waits w
   union all
  select o.pid, true from end_owners_waits($1) as o (pid)`;

export type OnlookerOptions = {
  /** Where the onlooker asks: nothing else is asked there that could keep it waiting, least of all for a commit. */
  aside: Pool;
  patienceMilliseconds?: number;
  log: Log;
};

export type Onlooker = {
  /** Looks after a statement that runs on this connection. */
  during<Result>(client: PoolClient, statement: () => Promise<Result>): Promise<Overseen<Result>>;
};

export type Overseen<Result> = {
  outcome: PromiseSettledResult<Result>;
  replicated: boolean;
  /** False when the connection must not serve anything else. */
  isFit: boolean;
};

export function createOnlooker(options: OnlookerOptions): Onlooker {
  const { aside, patienceMilliseconds = PATIENCE_MILLISECONDS, log } = options;
  let distrustUntil = Number.NEGATIVE_INFINITY;

  function patience(): number {
    return performance.now() < distrustUntil
      ? Math.min(patienceMilliseconds, DISTRUSTFUL_PATIENCE_MILLISECONDS)
      : patienceMilliseconds;
  }

  /** @returns whether the statement's own wait was ended */
  async function look(pid: number, isOver: boolean): Promise<boolean> {
    const { rows } = await aside.query<{ pid: number }>(END_WAITS, [pid, isOver]);
    if (rows.length > 0) {
      log.warn({ ended: rows.length }, 'a synchronous standby does not answer; waits for it are ended');
      distrustUntil = performance.now() + DISTRUST_MILLISECONDS;
    }
    return rows.some((row) => row.pid === pid);
  }

  function onlook(client: PoolClient): { stop(): Promise<boolean> } {
    const pid = (client as unknown as { processID: number }).processID;
    const patienceEnds = performance.now() + patience();
    let wasEnded = false;
    let looking = Promise.resolve();
    const timer = setInterval(() => {
      looking = looking
        .then(() => look(pid, performance.now() >= patienceEnds))
        .then((ended) => {
          wasEnded ||= ended;
        })
        .catch((error: unknown) => log.warn({ err: error }, 'a commit could not be looked after'));
    }, LOOK_MILLISECONDS);
    return {
      async stop() {
        clearInterval(timer);
        await looking;
        return wasEnded;
      },
    };
  }

  return {
    async during(client, statement) {
      let wasWarned = false;
      const onNotice = ({ code }: { code?: string | undefined }) => {
        wasWarned ||= code === WARNING;
      };
      client.on('notice', onNotice);
      const onlooker = onlook(client);
      const [outcome] = await Promise.allSettled([statement()]);
      client.off('notice', onNotice);
      const wasEnded = await onlooker.stop();
      const isLost = outcome.status === 'rejected' && isConnectionLost(outcome.reason);
      return { outcome, replicated: !wasWarned, isFit: !isLost && (!wasEnded || (await isSpared(client))) };
    },
  };
}

/**
 * The signal that ended a wait may have come too late for it; then it ends what that backend does next, which is this.
 * Kept open, the connection serves the next kill also when no new one is to be had.
 */
async function isSpared(client: PoolClient): Promise<boolean> {
  try {
    await client.query('select 1');
    return true;
  } catch (error) {
    return sqlState(error) === CANCELED;
  }
}

export type CommitWaitOptions = OnlookerOptions & {
  /** Where statements run. */
  pool: Pool;
};

export function createCommitWait({ pool, ...options }: CommitWaitOptions): CommitStatement {
  const onlooker = createOnlooker(options);
  return async <Row extends QueryResultRow>(statement: QueryConfig) => {
    const client = await pool.connect();
    const { outcome, replicated, isFit } = await onlooker.during(client, () => client.query<Row>(statement));
    client.release(!isFit);
    if (outcome.status === 'rejected') throw outcome.reason;
    return { rows: outcome.value.rows, replicated };
  };
}
