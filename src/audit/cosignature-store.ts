/** What witnesses signed, kept beside the heads that they signed, and the heads as they are handed out: with both. */
import type { Pool } from 'pg';
import type { Quorum } from './read-quorum.ts';
import type { KeptCheckpoint } from './signed-head-store.ts';

export type CosignatureStore = {
  /** The newest head, with every cosignature that it has so far. */
  newestCosigned(): Promise<KeptCheckpoint | null>;
  /**
   * The newest head that at least so many of these witnesses cosigned, with every cosignature that it has; null when
   * there is none, or none among the many that each of so many of them could have cosigned.
   */
  newestCosignedBy(quorum: Quorum): Promise<KeptCheckpoint | null>;
  /** The largest head that this witness cosigned; 0 when there is none. */
  cosignedSize(witness: string): Promise<number>;
  /** @param cosignature one signature line, verified */
  keep(cosignature: { size: number; witness: string; line: string }): Promise<void>;
};

/** Anybody may ask, with whatever names: heads that are looked at. Witnesses that are asked together meet within a few. */
const MAX_LOOKED_AT = 1_000;

const WITH_COSIGNATURES = `
    select c.size::float8 as size, c.root, c.kid,
           c.note || coalesce((select string_agg(s.line, '' order by s.witness)
                                 from audit_cosignatures s where s.size = c.size), '') as note
      from audit_checkpoints c`;

const NEWEST = { name: 'read_newest_cosigned', text: `${WITH_COSIGNATURES} order by c.size desc limit 1` };

/** It is no newer than what the slowest of the quickest so many has cosigned: from there one by one. */
const NEWEST_BY = {
  name: 'read_newest_cosigned_by',
  text: `
  with reached as materialized (
    select w.size from (
      select (select max(s.size) from audit_cosignatures s where s.witness = n.name) as size
        from unnest($1::text[]) as n (name)) as w
     where w.size is not null order by w.size desc offset $2::int - 1 limit 1
  ), candidates as materialized (
    select c.size from audit_checkpoints c
     where c.size <= (select r.size from reached r) order by c.size desc limit ${MAX_LOOKED_AT}
  )${WITH_COSIGNATURES}
     where c.size = (
       select k.size from candidates k
        where (select count(*) from audit_cosignatures s
                where s.size = k.size and s.witness = any ($1::text[])) >= $2::int
        order by k.size desc limit 1)`,
};

export function createCosignatureStore(pool: Pick<Pool, 'query'>): CosignatureStore {
  return {
    async newestCosigned() {
      const { rows } = await pool.query<KeptCheckpoint>(NEWEST);
      return rows[0] ?? null;
    },
    async newestCosignedBy({ witnesses, count }) {
      const { rows } = await pool.query<KeptCheckpoint>({ ...NEWEST_BY, values: [witnesses, count] });
      return rows[0] ?? null;
    },
    async cosignedSize(witness) {
      const { rows } = await pool.query<{ size: number }>(
        'select coalesce(max(size), 0)::float8 as size from audit_cosignatures where witness = $1',
        [witness],
      );
      return rows[0]?.size ?? 0;
    },
    async keep({ size, witness, line }) {
      await pool.query('select keep_cosignature($1, $2, $3)', [size, witness, line]);
    },
  };
}
