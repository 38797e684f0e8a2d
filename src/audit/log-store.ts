/**
 * The log's tables: lines that have no place yet, and the places of those that have; and the signed heads, see
 * signed-head-store.ts. Everything here is added and read, never changed; what is written goes through functions of the
 * owner that refuse a second sequencer and a head that contradicts another.
 */
import type { ClientBase, Pool } from 'pg';
import type { EntryRow } from './entry-document.ts';
import { createSignedHeadStore, type SignedHeadStore } from './signed-head-store.ts';

/** Where the sequencer stands when it has worked off what it just read. Opaque but for the last two. */
export type Progress = {
  turn: string;
  seen: string;
  target: string | null;
  afterXid: string;
  afterDay: string | null;
  afterId: string;
  isCaughtUp: boolean;
  /** Whether it has to be written down although no line got a place. */
  isNews: boolean;
  /** Whether nothing else was there when this was read. */
  isAll: boolean;
};

export type LogHead = { size: number; frontier: Buffer[] };
export type LogNode = { level: number; index: number; hash: Buffer };

export type LogStore = SignedHeadStore & {
  readHead(): Promise<LogHead>;
  /**
   * Looks at `limit` lines at most.
   * @returns those that have no place yet, in the order in which they get one
   */
  readUnplaced(limit: number): Promise<{ rows: (EntryRow & { day: number })[]; progress: Progress }>;
  /** @returns false when another sequencer was quicker: then nothing has happened */
  append(leaves: {
    expectedSize: number;
    entries: readonly { id: string; day: number; hash: Buffer }[];
    frontier: readonly Buffer[];
    nodes: readonly LogNode[];
    progress: Progress;
  }): Promise<boolean>;
};

/** An {@link EntryRow} out of `audit_entries as e`: its time as text, so that it is the same bytes for ever. */
export const ENTRY_COLUMNS = `e.id, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, e.action,
  e.outcome, e.reason, e.request_id as "requestId", e.actor, e.session_id as "sessionId", e.token_id as "tokenId",
  e.repetitions, e.details`;

/** Where transactions have numbers of another cluster, some lines bear numbers that are still to come here. */
const HAS_PLACE = 'exists (select from audit_leaves l where l.entry_id = e.id)';

/**
 * What is visible now and was not in `seen`: written by a transaction that was under way then, or began later. Two
 * scans of one index, merged, so that neither a long transaction nor a long backlog makes this slow. While a target
 * is worked off, lines that came after it wait for the next one.
 */
const sinceSeen = (which: string) => `
    (select e.xid as along, e.day, e.has_place, ${ENTRY_COLUMNS}
       from head h cross join lateral (
         select e.*, case when h.moved then ${HAS_PLACE} else false end as has_place from audit_entries e
          where ${which}
            and (e.xid, e.id) > (h.after_xid, h.after_id)
            and pg_visible_in_snapshot(e.xid::text::xid8, h.until)
          order by e.xid, e.id limit $1) as e
      where not h.is_elsewhere)`;

const WAS_UNDER_WAY = 'e.xid = any (array(select pg_snapshot_xip(h.seen)::text::bigint))';
const BEGAN_LATER = `e.xid >= pg_snapshot_xmax(h.seen)::text::bigint
            and e.xid < pg_snapshot_xmax(h.until)::text::bigint`;

/**
 * In a database that came from elsewhere transactions have other numbers: all lines are looked through by their days,
 * page by page. What was there when that began has its place at the end of it; what came meanwhile is not in the
 * target, and is looked for like everything later.
 */
const ALL_LINES = `
    (select e.day::bigint, e.day, e.has_place, ${ENTRY_COLUMNS}
       from head h cross join lateral (
         select e.*, ${HAS_PLACE} as has_place from audit_entries e
          where e.day >= h.from_day and (e.day, e.id) > (h.from_day, h.from_id)
          order by e.day, e.id limit $1) as e
      where h.is_elsewhere)`;

const UNPLACED = {
  name: 'read_unplaced',
  text: `
  with head as materialized (
    select h.*, h.cluster <> here as is_elsewhere, t.has_target,
           case when t.has_target then h.target else pg_current_snapshot() end as until,
           case when t.has_target then h.after_day else -1 end as from_day,
           case when t.has_target then h.after_id else '' end as from_id
      from audit_log_head h cross join audit_cluster() as here
     cross join lateral (select h.target is not null and h.target_cluster = here as has_target) as t
  ), found as (
    ${sinceSeen(WAS_UNDER_WAY)}
    union all
    ${sinceSeen(BEGAN_LATER)}
    union all
    ${ALL_LINES}
  )
  select h.turn::text as turn, h.until::text as until, h.seen::text as seen, h.is_elsewhere, h.has_target, f.*
    from head h left join lateral (select * from found order by along, id limit $1) as f on true
   order by f.along, f.id`,
};

const HEAD = { name: 'read_log_head', text: 'select size::float8 as size, frontier from audit_log_head' };
const APPEND = {
  name: 'append_leaves',
  text: 'select append_leaves($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as done',
};
/** `along` is what the lines are ordered by: their transactions, or their days. */
type Found = EntryRow & {
  turn: string;
  until: string;
  seen: string;
  is_elsewhere: boolean;
  has_target: boolean;
  along: string;
  day: number;
  has_place: boolean;
};

/** @param pool connections whose commits wait for whatever this database is configured to wait for */
export function createLogStore(pool: Pick<Pool, 'query'>): LogStore {
  return {
    ...createSignedHeadStore(pool),
    async readHead() {
      const { rows } = await pool.query<LogHead>(HEAD);
      const [head] = rows;
      if (head === undefined) throw new Error('the log has no head');
      return head;
    },
    async readUnplaced(limit) {
      const { rows } = await pool.query<Found>({ ...UNPLACED, values: [limit] });
      const looked = rows.filter((row) => row.id !== null);
      return {
        rows: looked.filter((row) => !row.has_place),
        progress: progressAfter(rows, { looked: looked.length, limit }),
      };
    },
    async append({ expectedSize, entries, frontier, nodes, progress }) {
      const { rows } = await pool.query<{ done: boolean }>({
        ...APPEND,
        values: [
          expectedSize,
          entries.map(({ id }) => id),
          entries.map(({ day }) => day),
          entries.map(({ hash }) => hash),
          frontier,
          nodes.map(({ level }) => level),
          nodes.map(({ index }) => index),
          nodes.map(({ hash }) => hash),
          progress.seen,
          progress.target,
          progress.afterXid,
          progress.afterId,
          progress.isCaughtUp,
          progress.afterDay,
          progress.turn,
        ],
      });
      return rows[0]?.done === true;
    },
  };
}

/** A target that is not worked off stays the target; one that is becomes what was seen. */
function progressAfter(
  rows: readonly Found[],
  { looked, limit }: { looked: number; limit: number },
): Progress {
  const last = rows.at(-1);
  if (last === undefined) throw new Error('the log has no head');
  const { turn, until, seen, is_elsewhere: isElsewhere, has_target: hasTarget, along, id } = last;
  const isWhole = looked < limit;
  const isNews = looked > 0 || isElsewhere || hasTarget;
  const isAll = isWhole && !hasTarget;
  if (isWhole) {
    const cursor = { afterXid: '0', afterDay: null, afterId: '' };
    return { turn, seen: until, target: null, ...cursor, isCaughtUp: true, isNews, isAll };
  }
  const cursor = isElsewhere ? { afterXid: '0', afterDay: along } : { afterXid: along, afterDay: null };
  return { turn, seen, target: until, ...cursor, afterId: id, isCaughtUp: !isElsewhere, isNews, isAll };
}

/**
 * The statements above have names, and on this connection one plan each: making a plan over all days takes longer than
 * carrying it out. Such a plan must not hang on how small the tables happen to be now, hence no scans of whole ones.
 */
const PLANS = `
  select set_config('plan_cache_mode', 'force_generic_plan', false), set_config('enable_seqscan', 'off', false),
         set_config('enable_bitmapscan', 'off', false)`;

/** For as long as this connection lasts. @returns false when another one has it */
export async function takeLogLock(connection: Pick<ClientBase, 'query'>): Promise<boolean> {
  await connection.query(PLANS);
  const { rows } = await connection.query<{ taken: boolean }>(
    `select pg_try_advisory_lock(hashtext('mayfly audit log')) as taken`,
  );
  return rows[0]?.taken === true;
}
