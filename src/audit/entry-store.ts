/**
 * The log as auditors read it: entries by their place, newest first, and what belongs to one of them. An entry whose
 * text is past its retention keeps its place and its hash.
 */
import type { Pool } from 'pg';
import { type EntryDocument, type EntryRow, loggedDocument } from './entry-document.ts';
import type { EntryAction } from './entry-schemas.ts';
import { ENTRY_COLUMNS } from './log-store.ts';

/** `entry` is null when its text was dropped after its retention. */
export type PlacedEntry = { index: number; id: string; hash: Buffer; entry: EntryDocument | null };

type WholeEntry = PlacedEntry & { entry: EntryDocument };

export type EntryFilters = {
  session?: string | undefined;
  actor?: string | undefined;
  /** Who an entry is about: the agent's identifier in its details. */
  agent?: string | undefined;
  action?: string | undefined;
  outcome?: string | undefined;
  /** From this moment on, and before that one: RFC 3339 in UTC, to the microsecond at most. */
  since?: string | undefined;
  until?: string | undefined;
};

export type LogReader = {
  /**
   * Newest first, from before `before`. Looks through {@link MAX_LOOKED_THROUGH} entries at most, all of which are of
   * the session where one is asked for that has no more: `next` says where to go on, also when nothing was found there,
   * and is null when there is nothing else, at the beginning of the log or of the time that is asked for.
   */
  list(
    filters: EntryFilters,
    page: { before: number | null; limit: number },
  ): Promise<{ entries: WholeEntry[]; next: number | null }>;
  /** In the order of the log, from `index` on. */
  readFrom(index: number, limit: number): Promise<PlacedEntry[]>;
  /**
   * The line that was written with an entry of the ledger; null while it has no place.
   * @param revocation.at when it was committed: the line is not older
   */
  placeOfRevocation(revocation: { epoch: number; at: Date }): Promise<WholeEntry | null>;
  /** Null when there is none; `index` is null while it has no place yet. */
  find(
    id: string,
  ): Promise<{ index: number | null; hash: Buffer | null; entry: EntryDocument | null } | null>;
};

/** So that no question of anybody keeps the database busy for long, however rare what is asked for. */
export const MAX_LOOKED_THROUGH = 20_000;

type Range = { from: number; to: number };
type Limit = { limit: number };
type Row = EntryRow & { index: number; entryId: string; hash: Buffer };

const COLUMNS = `l.leaf_index::float8 as index, l.entry_id as "entryId", l.hash, ${ENTRY_COLUMNS}`;

/** One look at an index for each leaf, whatever a plan believes of a record of many days. */
const PLACED = `
  select ${COLUMNS}
    from audit_leaves l left join lateral (
      select * from audit_entries e where e.day = l.day and e.id = l.entry_id limit 1) as e on true`;

/** One look at an index for each line, never all leaves. */
const ITS_LEAF = '(select * from audit_leaves l where l.entry_id = e.id limit 1)';

/** Values of filters are parameters $4 and on; null means that nobody asks. */
const ASKED = `($4::text is null or e.session_id = $4) and ($5::text is null or e.actor = $5)
     and ($6::text is null or e.details->>'agent' = $6) and ($7::text is null or e.action = $7)
     and ($8::text is null or e.outcome = $8) and ($9::timestamptz is null or e.at >= $9)
     and ($10::timestamptz is null or e.at < $10)`;

const FILTERED = `${PLACED}
   where l.leaf_index < $1 and l.leaf_index >= $3 and e.id is not null and ${ASKED}
   order by l.leaf_index desc limit $2`;

/** Entries of a session lie together in an index of each day; of one that has more of them, this tells nothing. */
const ofSession = (maxLookedThrough: number) => `
  with of_session as materialized (
    select e.* from audit_entries e where e.session_id = $4 limit ${maxLookedThrough} + 1
  ), few as materialized (select count(*) <= ${maxLookedThrough} as are_few from of_session)
  select f.are_few, x.*
    from few f left join lateral (
      select ${COLUMNS} from of_session e cross join lateral ${ITS_LEAF} as l
       where f.are_few and l.leaf_index < $1 and l.leaf_index >= $3 and ${ASKED}
       order by l.leaf_index desc limit $2) as x on true
   order by x.index desc`;

/**
 * The first leaf of this day or a later one, found by halves: places are given in the order of time, but for
 * transactions that overlap, which is why whoever asks leaves a day to spare.
 */
const FIRST_OF_DAY = `
  with recursive halves (low, high) as (
    select 0::bigint, h.size from audit_log_head h
    union all
    select case when m.day < $1 then m.middle + 1 else s.low end, case when m.day < $1 then s.high else m.middle end
      from halves s cross join lateral (
        select l.day, l.leaf_index as middle from audit_leaves l where l.leaf_index = (s.low + s.high) / 2) as m
     where s.low < s.high)
  select low::float8 as index from halves where low >= high`;

const DAY_MILLISECONDS = 86_400_000;

/** What an entry of the ledger may be called: the index by its epoch has these and no others (migration 0025). */
const LEDGER_ACTIONS: readonly EntryAction[] = [
  'revocation.appended',
  'revocation.released',
  'session.revoked',
  'token.revoked',
  'agent.revoked',
  'agent.quarantined',
  'agent.released',
  'kill_switch.engaged',
  'kill_switch.released',
];

/** A day of leeway: the line's day is that of its transaction's begin. */
const OF_REVOCATION = `
  select ${COLUMNS}
    from audit_entries e cross join lateral ${ITS_LEAF} as l
   where e.details->>'epoch' = $1 and e.action in (${LEDGER_ACTIONS.map((action) => `'${action}'`).join(', ')})
     and e.day >= floor(extract(epoch from $2::timestamptz) / 86400)::integer - 1
   order by l.leaf_index limit 1`;

export function createLogReader(pool: Pick<Pool, 'query'>, maxLookedThrough = MAX_LOOKED_THROUGH): LogReader {
  async function sizeNow(): Promise<number> {
    const { rows } = await pool.query<{ size: number }>('select size::float8 as size from audit_log_head');
    return rows[0]?.size ?? 0;
  }

  /** The leaf from which on no entry is of an earlier day than this moment's and `days` more. */
  async function firstOfDay(moment: string, days: number): Promise<number> {
    const day = Math.floor(Date.parse(moment) / DAY_MILLISECONDS) + days;
    const { rows } = await pool.query<{ index: number }>(FIRST_OF_DAY, [day]);
    return rows[0]?.index ?? 0;
  }

  /** Where what is asked for can be: `from` included, `to` not. */
  async function rangeOf({ since, until }: EntryFilters, before: number | null): Promise<Range> {
    const end = before ?? (await sizeNow());
    const to = until === undefined ? end : Math.min(end, await firstOfDay(until, 2));
    const from = since === undefined ? 0 : Math.min(to, await firstOfDay(since, -1));
    return { from, to };
  }

  async function ask<Answer = Row>(text: string, filters: EntryFilters, { from, to, limit }: Range & Limit) {
    const { session, actor, agent, action, outcome, since, until } = filters;
    const asked = [session, actor, agent, action, outcome, since, until].map((value) => value ?? null);
    return (await pool.query<Answer & object>(text, [to, limit + 1, from, ...asked])).rows;
  }

  /** @returns null when that is not asked, or a session has too many of them */
  async function listOfSession(filters: EntryFilters, where: Range & Limit): Promise<Row[] | null> {
    if (filters.session === undefined) return null;
    const rows = await ask<Row & { are_few: boolean }>(ofSession(maxLookedThrough), filters, where);
    return rows[0]?.are_few === true ? rows.filter(isWhole) : null;
  }

  return {
    async list(filters, { before, limit }) {
      const { from, to } = await rangeOf(filters, before);
      const few = await listOfSession(filters, { from, to, limit });
      const lookedTo = few === null ? Math.max(to - maxLookedThrough, from) : from;
      const rows = few ?? (await ask(FILTERED, filters, { from: lookedTo, to, limit }));
      const entries = rows.slice(0, limit).map((row) => ({ ...placed(row), entry: loggedDocument(row) }));
      const last = rows.length > limit ? entries.at(-1)?.index : undefined;
      return { entries, next: last ?? (lookedTo > from ? lookedTo : null) };
    },
    async readFrom(index, limit) {
      const { rows } = await pool.query<Row>(
        `${PLACED} where l.leaf_index >= $1 order by l.leaf_index limit $2`,
        [index, limit],
      );
      return rows.map(placed);
    },
    async placeOfRevocation({ epoch, at }) {
      const { rows } = await pool.query<Row>(OF_REVOCATION, [String(epoch), at]);
      const [row] = rows;
      return row === undefined ? null : { ...placed(row), entry: loggedDocument(row) };
    },
    async find(id) {
      const { rows } = await pool.query<Partial<Row>>(
        `${PLACED} where l.entry_id = $1
         union all
         select null, e.id, null, ${ENTRY_COLUMNS} from audit_entries e
          where e.id = $1 and not exists (select from audit_leaves l where l.entry_id = $1)`,
        [id],
      );
      const [row] = rows;
      if (row === undefined) return null;
      const { index = null, hash = null } = row;
      return { index, hash, entry: isWhole(row) ? loggedDocument(row) : null };
    },
  };
}

function placed(row: Row): PlacedEntry {
  return {
    index: row.index,
    id: row.entryId,
    hash: row.hash,
    entry: isWhole(row) ? loggedDocument(row) : null,
  };
}

/** Its text is there: a left join leaves nothing of it otherwise. */
function isWhole(row: Partial<EntryRow>): row is EntryRow {
  return row.id !== null && row.id !== undefined;
}
