/**
 * What was ever signed of the log: its heads, and the hand-overs from one key to the next. A function of the owner
 * refuses whatever contradicts what is there: a smaller head, a key that has handed over, anything while a doubt stands.
 */
import type { Pool } from 'pg';

export type KeptCheckpoint = { size: number; root: Buffer; note: string; kid: string };
export type KeptHandOver = { toKid: string; fromKid: string; size: number; note: string };
export type SignedSoFar = {
  newest: KeptCheckpoint | null;
  /** The `kid` that signed it, or the one that it was handed over to since. */
  speaker: string | null;
  /** A witness saw another log: nothing may be signed. */
  isDoubted: boolean;
};

export type SignedHeadStore = {
  /**
   * @returns false when one is kept that is as large or larger
   * @throws when a doubt stands, its key has handed over, or is not the one that speaks
   */
  keepCheckpoint(checkpoint: KeptCheckpoint): Promise<boolean>;
  /** @returns false when it is not from the key that speaks, at the newest head */
  keepHandOver(handOver: KeptHandOver): Promise<boolean>;
  newestCheckpoint(): Promise<KeptCheckpoint | null>;
  signedSoFar(): Promise<SignedSoFar>;
  /** In the order in which they were made. */
  handOvers(): Promise<KeptHandOver[]>;
};

const NEWEST = {
  name: 'read_newest_checkpoint',
  text: `select size::float8 as size, root, note, kid from audit_checkpoints
          order by audit_checkpoints.size desc limit 1`,
};
const SIGNED = {
  name: 'read_signed_so_far',
  text: `select log_speaker() as speaker, exists (select from audit_doubts_standing) as "isDoubted", c.*
           from (select) as always left join lateral (${NEWEST.text}) as c on true`,
};
const KEEP = { name: 'keep_checkpoint', text: 'select keep_checkpoint($1, $2, $3, $4) as kept' };

type SignedRow = KeptCheckpoint & { speaker: string | null; isDoubted: boolean };

export function createSignedHeadStore(pool: Pick<Pool, 'query'>): SignedHeadStore {
  return {
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
      const { rows } = await pool.query<SignedRow>(SIGNED);
      const [{ speaker, isDoubted, ...newest }] = rows as [SignedRow];
      return { speaker, isDoubted, newest: newest.size === null ? null : newest };
    },
    async handOvers() {
      const { rows } = await pool.query<KeptHandOver>(
        'select to_kid as "toKid", from_kid as "fromKid", size::float8 as size, note from audit_hand_overs order by number',
      );
      return rows;
    },
  };
}
