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
  /** From this moment on, and before that one. */
  since?: Date | undefined;
  until?: Date | undefined;
};

export type LogReader = {
  /**
   * Newest first, from before `before`. Looks through {@link MAX_LOOKED_THROUGH} entries at most: `next` says where to
   * go on, also when nothing was found there, and is null at the beginning of the log.
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

type Row = EntryRow & { index: number; entryId: string; hash: Buffer };

const COLUMNS = `l.leaf_index::float8 as index, l.entry_id as "entryId", l.hash, ${ENTRY_COLUMNS}`;

/** One look at an index for each leaf, whatever a plan believes of a record of many days. */
const PLACED = `
  select ${COLUMNS}
    from audit_leaves l left join lateral (
      select * from audit_entries e where e.day = l.day and e.id = l.entry_id limit 1) as e on true`;

/** Values of filters are parameters $3 and on; null means that nobody asks. */
const FILTERED = `${PLACED}
   where l.leaf_index < $1 and l.leaf_index >= $1 - ${MAX_LOOKED_THROUGH} and e.id is not null
     and ($3::text is null or e.session_id = $3) and ($4::text is null or e.actor = $4)
     and ($5::text is null or e.details->>'agent' = $5) and ($6::text is null or e.action = $6)
     and ($7::text is null or e.outcome = $7) and ($8::timestamptz is null or e.at >= $8)
     and ($9::timestamptz is null or e.at < $9)
   order by l.leaf_index desc limit $2`;

/** Entries of a session lie together in an index of their own. */
const OF_SESSION = `
  select ${COLUMNS}
    from audit_entries e join audit_leaves l on l.entry_id = e.id
   where e.session_id = $3 and l.leaf_index < $1 and ($4::text is null or e.actor = $4)
     and ($5::text is null or e.details->>'agent' = $5) and ($6::text is null or e.action = $6)
     and ($7::text is null or e.outcome = $7) and ($8::timestamptz is null or e.at >= $8)
     and ($9::timestamptz is null or e.at < $9)
   order by l.leaf_index desc limit $2`;

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
    from audit_entries e join audit_leaves l on l.entry_id = e.id
   where e.details->>'epoch' = $1 and e.action in (${LEDGER_ACTIONS.map((action) => `'${action}'`).join(', ')})
     and e.day >= floor(extract(epoch from $2::timestamptz) / 86400)::integer - 1
   order by l.leaf_index limit 1`;

export function createLogReader(pool: Pick<Pool, 'query'>): LogReader {
  async function sizeNow(): Promise<number> {
    const { rows } = await pool.query<{ size: number }>('select size::float8 as size from audit_log_head');
    return rows[0]?.size ?? 0;
  }

  return {
    async list(filters, { before, limit }) {
      const { session, actor, agent, action, outcome, since, until } = filters;
      const start = before ?? (await sizeNow());
      const asked = [session, actor, agent, action, outcome, since, until].map((value) => value ?? null);
      const { rows } = await pool.query<Row>(session === undefined ? FILTERED : OF_SESSION, [
        start,
        limit + 1,
        ...asked,
      ]);
      const entries = rows.slice(0, limit).map((row) => ({ ...placed(row), entry: loggedDocument(row) }));
      const last = rows.length > limit ? entries.at(-1)?.index : undefined;
      const lookedTo = session === undefined ? Math.max(start - MAX_LOOKED_THROUGH, 0) : 0;
      return { entries, next: last ?? (lookedTo > 0 ? lookedTo : null) };
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
