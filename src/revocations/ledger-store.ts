/**
 * Reading the ledger. Each question is one statement, so head and entries are of one snapshot; the head is the head
 * row and never `max(epoch)` (L14).
 */
import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';
import { type LedgerPage, MAX_PAGE_ENTRIES } from './ledger-entry.ts';
import type { ObservedHead } from './ledger-trust.ts';

/** From where on somebody wants to hear. */
export type PageQuestion = {
  /** The epoch that is known already; 0 when nothing is. */
  since: number;
  /** In which generation of the ledger; null when it was not said. */
  generation: number | null;
  /** False when a copy that is too old for what still stands is to be begun anew; true to go on from `since` there. */
  goOn: boolean;
};

export type LedgerStore = {
  /** One page for each question, in their order, all read in one snapshot. */
  readPages(questions: readonly PageQuestion[]): Promise<LedgerPage[]>;
  /** The head, and whether this is the database in which the ledger goes on (L25). */
  readHead(): Promise<ObservedHead>;
};

/*
 * A question is answered by a snapshot when it knows nothing, knows another generation, or lies below the floor. Its
 * entries are those above the floor, and below it those that last. Both parts are in the order of an index. Who
 * claims more than there is gets the head: a signed word about how far this ledger is.
 */
const READ_PAGES = {
  name: 'ledger_pages',
  text: `
with head as materialized (
  select epoch, generation, digest, floor from revocation_head
), asked as materialized (
  select a.n, h.epoch, h.generation, h.digest, h.floor, k.snapshot,
         case when not k.snapshot then least(a.s, h.epoch) when a.c and g.known then a.s else 0 end as since
    from json_to_recordset($1::json) as a (n integer, s bigint, g integer, c boolean)
   cross join head h
   cross join lateral (select coalesce(a.g, h.generation) = h.generation as known) as g
   cross join lateral (select not g.known or a.s = 0 or a.s < h.floor as snapshot) as k
)
select a.generation, a.snapshot, a.floor::float8 as floor, a.since::float8 as since, a.epoch::float8 as epoch,
       a.digest,
       case when a.since = 0 then null when a.since = a.epoch then a.digest
            else (select r.digest from revocations r where r.epoch = a.since) end as since_digest,
       e.entries
  from asked a cross join lateral (
    select coalesce(json_agg(json_build_array(p.epoch, encode(p.digest, 'hex'), p.kind, p.target, p.standing,
             p.releases, p.released_epoch) order by p.epoch), '[]'::json) as entries
      from (select r.epoch, r.digest, r.kind, r.target, r.standing, r.releases, r.released_epoch
              from (select l.epoch, l.digest, l.kind, l.target, l.standing, l.releases, l.released_epoch
                      from revocations l
                     where a.snapshot and l.epoch > a.since and l.epoch <= a.floor
                       and ((l.standing and l.released_epoch is null) or l.kind = 'signing-key')
                    union all
                    select y.epoch, y.digest, y.kind, y.target, y.standing, y.releases, y.released_epoch
                      from revocations y
                     where y.epoch > greatest(a.since, case when a.snapshot then a.floor end)) as r
             order by r.epoch limit ${MAX_PAGE_ENTRIES + 1}) as p) as e
 order by a.n`,
};

const READ_HEAD = {
  name: 'ledger_head',
  text: `
select h.epoch::float8 as epoch, h.generation, h.digest, h.floor::float8 as floor,
       h.system_identifier = i.system_identifier and h.timeline = i.timeline as same,
       extract(epoch from h.moved_at)::float8 as "movedAt"
  from revocation_head h cross join database_identity() i`,
};

type PageRow = {
  generation: number;
  snapshot: boolean;
  floor: number;
  since: number;
  epoch: number;
  digest: Buffer;
  since_digest: Buffer | null;
  entries: [
    number,
    string,
    LedgerPage['entries'][number]['kind'],
    string,
    boolean,
    number | null,
    number | null,
  ][];
};

export function createLedgerStore(pool: Pool): LedgerStore {
  return {
    async readPages(questions) {
      const asked = questions.map(({ since, generation, goOn }, n) => ({
        n,
        s: since,
        g: generation,
        c: goOn,
      }));
      const { rows } = await runStatement<PageRow>(pool, { ...READ_PAGES, values: [JSON.stringify(asked)] });
      return rows.map(pageOf);
    },

    async readHead() {
      const { rows } = await runStatement<Omit<ObservedHead, 'digest'> & { digest: Buffer }>(pool, READ_HEAD);
      const [row] = rows;
      if (row === undefined) throw new Error('the ledger has no head');
      return { ...row, digest: row.digest.toString('base64url') };
    },
  };
}

function pageOf(row: PageRow): LedgerPage {
  const isComplete = row.entries.length <= MAX_PAGE_ENTRIES;
  const read = isComplete ? row.entries : row.entries.slice(0, MAX_PAGE_ENTRIES);
  const through = isComplete ? row.epoch : (read.at(-1)?.[0] ?? row.since);
  return {
    generation: row.generation,
    snapshot: row.snapshot,
    floor: row.floor,
    since: row.since,
    since_digest: row.since_digest?.toString('base64url') ?? null,
    through,
    head: { epoch: row.epoch, digest: row.digest.toString('base64url') },
    entries: read.map(([epoch, digest, kind, target, standing, releases, released]) => ({
      epoch,
      digest: Buffer.from(digest, 'hex').toString('base64url'),
      kind,
      target,
      standing,
      releases,
      // What came after the end of the page is the business of the page that has it.
      released_epoch: released !== null && released <= through ? released : null,
    })),
  };
}
