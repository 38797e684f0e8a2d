/** What witnesses signed, kept beside the heads that they signed, and the heads as they are handed out: with both. */
import type { Pool } from 'pg';
import type { KeptCheckpoint } from './log-store.ts';

export type CosignatureStore = {
  /** The newest head, with every cosignature that it has so far. */
  newestCosigned(): Promise<KeptCheckpoint | null>;
  /** The largest head that this witness cosigned; 0 when there is none. */
  cosignedSize(witness: string): Promise<number>;
  /** @param cosignature one signature line, verified */
  keep(cosignature: { size: number; witness: string; line: string }): Promise<void>;
};

const NEWEST = {
  name: 'read_newest_cosigned',
  text: `
    select c.size::float8 as size, c.root, c.kid,
           c.note || coalesce((select string_agg(s.line, '' order by s.witness)
                                 from audit_cosignatures s where s.size = c.size), '') as note
      from audit_checkpoints c order by c.size desc limit 1`,
};

export function createCosignatureStore(pool: Pick<Pool, 'query'>): CosignatureStore {
  return {
    async newestCosigned() {
      const { rows } = await pool.query<KeptCheckpoint>(NEWEST);
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
