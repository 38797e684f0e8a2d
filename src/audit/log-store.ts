/**
 * The log's tables: lines that have no place yet, the places of those that have, and the signed heads. Everything
 * here is added and read, never changed; what is written goes through functions of the owner that refuse a second
 * sequencer and a head that contradicts another.
 */
import type { ClientBase, Pool } from 'pg';
import type { EntryRow } from './entry-document.ts';

/** Where the sequencer stands when it has worked off what it just read. Opaque. */
export type Progress = {
  seen: string;
  target: string | null;
  afterXid: string;
  afterId: string;
  isCaughtUp: boolean;
  /** Whether lines are now looked for that came after a target which was still being worked off. */
  isFresh: boolean;
};

export type LogHead = { size: number; frontier: Buffer[] };
export type LogNode = { level: number; index: number; hash: Buffer };
export type KeptCheckpoint = { size: number; root: Buffer; note: string; kid: string };
export type KeptHandOver = { toKid: string; fromKid: string; size: number; note: string };
/** `speaker`: the `kid` that signed the newest head, or the one that it was handed over to since. */
export type SignedSoFar = { newest: KeptCheckpoint | null; speaker: string | null };

export type LogStore = {
  readHead(): Promise<LogHead>;
  /** @returns at most `limit` lines that have no place yet, in the order in which they get one */
  readUnplaced(limit: number): Promise<{ rows: (EntryRow & { day: number })[]; progress: Progress }>;
  /** @returns false when another sequencer was quicker: then nothing has happened */
  append(leaves: {
    expectedSize: number;
    entries: readonly { id: string; day: number; hash: Buffer }[];
    frontier: readonly Buffer[];
    nodes: readonly LogNode[];
    progress: Progress;
  }): Promise<boolean>;
  /**
   * @returns false when one is kept that is as large or larger
   * @throws when its key has handed over, or is not the one that speaks
   */
  keepCheckpoint(checkpoint: KeptCheckpoint): Promise<boolean>;
  /** @returns false when it is not from the key that speaks, at the newest head */
  keepHandOver(handOver: KeptHandOver): Promise<boolean>;
  newestCheckpoint(): Promise<KeptCheckpoint | null>;
  signedSoFar(): Promise<SignedSoFar>;
  /** In the order in which they were made. */
  handOvers(): Promise<KeptHandOver[]>;
};

/** An {@link EntryRow} out of `audit_entries as e`: its time as text, so that it is the same bytes for ever. */
export const ENTRY_COLUMNS = `e.id, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at, e.action,
  e.outcome, e.reason, e.request_id as "requestId", e.actor, e.session_id as "sessionId", e.token_id as "tokenId",
  e.repetitions, e.details`;

/**
 * What is visible now and was not in `seen`: written by a transaction that was under way then, or began later. Two
 * scans of one index, merged, so that neither a long transaction nor a long backlog makes this slow. While a target
 * is worked off, lines that came after it wait for the next one.
 */
const sinceSeen = (which: string) => `
    (select e.xid, e.day, ${ENTRY_COLUMNS}
       from head h cross join lateral (
         select * from audit_entries e
          where ${which}
            and (e.xid, e.id) > (h.after_xid, h.after_id)
            and pg_visible_in_snapshot(e.xid::text::xid8, h.until)
            and (not h.moved or not exists (select from audit_leaves l where l.entry_id = e.id))
          order by e.xid, e.id limit $1) as e
      where not h.is_elsewhere)`;

const WAS_UNDER_WAY = 'e.xid = any (array(select pg_snapshot_xip(h.seen)::text::bigint))';
const BEGAN_LATER = `e.xid >= pg_snapshot_xmax(h.seen)::text::bigint
            and e.xid < pg_snapshot_xmax(h.until)::text::bigint`;

/** In a database that came from elsewhere transactions have other numbers: whatever has no place is looked for. */
const UNPLACED = {
  name: 'read_unplaced',
  text: `
  with head as materialized (
    select h.*, h.cluster <> audit_cluster() as is_elsewhere,
           case when h.cluster = audit_cluster() and h.target is not null then h.target
                else pg_current_snapshot() end as until
      from audit_log_head h
  ), found as (
    ${sinceSeen(WAS_UNDER_WAY)}
    union all
    ${sinceSeen(BEGAN_LATER)}
    union all
    (select e.xid, e.day, ${ENTRY_COLUMNS}
       from head h cross join lateral (
         select * from audit_entries e
          where not exists (select from audit_leaves l where l.entry_id = e.id)
          order by e.xid, e.id limit $1) as e
      where h.is_elsewhere)
  )
  select h.until::text as until, h.seen::text as seen, h.is_elsewhere, h.target is null as is_fresh, f.xid::text as xid, f.*
    from head h left join lateral (select * from found order by xid, id limit $1) as f on true
   order by f.xid, f.id`,
};

const HEAD = { name: 'read_log_head', text: 'select size::float8 as size, frontier from audit_log_head' };
const NEWEST = {
  name: 'read_newest_checkpoint',
  text: `select size::float8 as size, root, note, kid from audit_checkpoints
          order by audit_checkpoints.size desc limit 1`,
};
const SIGNED = {
  name: 'read_signed_so_far',
  text: `select log_speaker() as speaker, c.*
           from (select) as always left join lateral (${NEWEST.text}) as c on true`,
};
const APPEND = {
  name: 'append_leaves',
  text: 'select append_leaves($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) as done',
};
const KEEP = { name: 'keep_checkpoint', text: 'select keep_checkpoint($1, $2, $3, $4) as kept' };

type Found = EntryRow & {
  until: string;
  seen: string;
  is_elsewhere: boolean;
  is_fresh: boolean;
  xid: string;
  day: number;
};

/** @param pool connections whose commits wait for whatever this database is configured to wait for */
export function createLogStore(pool: Pick<Pool, 'query'>): LogStore {
  return {
    async readHead() {
      const { rows } = await pool.query<LogHead>(HEAD);
      const [head] = rows;
      if (head === undefined) throw new Error('the log has no head');
      return head;
    },
    async readUnplaced(limit) {
      const { rows } = await pool.query<Found>({ ...UNPLACED, values: [limit] });
      const found = rows.filter((row) => row.id !== null);
      return { rows: found, progress: progressAfter(rows, found.length < limit) };
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
        ],
      });
      return rows[0]?.done === true;
    },
    async keepCheckpoint({ size, root, note, kid }) {
      const { rows } = await pool.query<{ kept: boolean }>({ ...KEEP, values: [size, root, note, kid] });
      return rows[0]?.kept === true;
    },
    async keepHandOver({ toKid, fromKid, size, note }) {
      const { rows } = await pool.query<{ kept: boolean }>('select keep_hand_over($1, $2, $3, $4) as kept', [
        toKid,
        fromKid,
        size,
        note,
      ]);
      return rows[0]?.kept === true;
    },
    async newestCheckpoint() {
      const { rows } = await pool.query<KeptCheckpoint>(NEWEST);
      return rows[0] ?? null;
    },
    async signedSoFar() {
      const { rows } = await pool.query<KeptCheckpoint & { speaker: string | null }>(SIGNED);
      const [{ speaker, ...newest }] = rows as [KeptCheckpoint & { speaker: string | null }];
      return { speaker, newest: newest.size === null ? null : newest };
    },
    async handOvers() {
      const { rows } = await pool.query<KeptHandOver>(
        'select to_kid as "toKid", from_kid as "fromKid", size::float8 as size, note from audit_hand_overs order by number',
      );
      return rows;
    },
  };
}

/** A target that is not worked off stays the target; one that is becomes what was seen. */
function progressAfter(rows: readonly Found[], isAll: boolean): Progress {
  const last = rows.at(-1);
  if (last === undefined) throw new Error('the log has no head');
  const { until, seen, is_elsewhere: isElsewhere, is_fresh: isFresh, xid, id } = last;
  if (isAll) return { seen: until, target: null, afterXid: '0', afterId: '', isCaughtUp: true, isFresh };
  if (isElsewhere) return { seen, target: null, afterXid: '0', afterId: '', isCaughtUp: false, isFresh };
  return { seen, target: until, afterXid: xid, afterId: id, isCaughtUp: true, isFresh };
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
