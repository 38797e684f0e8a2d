import { type Kysely, sql } from 'kysely';

/**
 * Where each sink has got to. One broker at a time has a sink: it claims it before each batch, for longer than a batch
 * can take; when it is gone, another one claims it and goes on at the cursor. Should two ever send at the same time
 * (one was stopped in its tracks for a minute), only one of them moves the cursor, and some entries come twice.
 */
export type SinkCursors = {
  /** Makes the sink this holder's for a while. @returns the cursor, or null when another holder has it */
  claim(sink: string, holder: string): Promise<number | null>;
  release(sink: string, holder: string): Promise<void>;
  /** Compare and set. @returns false when the cursor is elsewhere, or the sink is another holder's */
  advance(move: { sink: string; holder: string; expected: number; next: number }): Promise<boolean>;
  /** Puts leaves aside and moves the cursor past them, in one transaction. @returns as {@link advance} */
  park(letter: Parking): Promise<boolean>;
  noteFailure(sink: string, holder: string, because: string): Promise<void>;
};

export type Parking = {
  sink: string;
  holder: string;
  expected: number;
  /** Leaf indexes, both included. */
  first: number;
  last: number;
  /** How many of them were refused, when the receiver does not say which. */
  refused: number;
  because: string;
};

export type DeadLetter = {
  first: number;
  last: number;
  refused: number;
  because: string;
  parkedAt: Date;
  replayedAt: Date | null;
};

export type SinkState = {
  name: string;
  nextIndex: number;
  /** Null while no broker sends to it. */
  holder: string | null;
  movedAt: Date | null;
  failingSince: Date | null;
  failure: string | null;
  /** Dead letters that nobody has sent again yet. */
  parked: number;
};

export type SinkStore = SinkCursors & {
  list(): Promise<SinkState[]>;
  /** The oldest first. */
  deadLetters(sink: string, limit: number): Promise<DeadLetter[]>;
  /** The leaves from first to last were sent again. @returns how many dead letters that settles */
  settleDeadLetters(sink: string, first: number, last: number): Promise<number>;
};

/** Longer than a batch can take: its sending is bounded by less than half of this. */
export const CLAIM_SECONDS = 60;

export function createSinkStore(database: Kysely<unknown>): SinkStore {
  return {
    async claim(sink, holder) {
      const { rows } = await sql<{ next: number | null }>`
        select claim_audit_sink(${sink}, ${holder}, ${CLAIM_SECONDS})::float8 as next
      `.execute(database);
      return rows[0]?.next ?? null;
    },
    async release(sink, holder) {
      await sql`select release_audit_sink(${sink}, ${holder})`.execute(database);
    },
    async advance({ sink, holder, expected, next }) {
      const { rows } = await sql<{ moved: boolean }>`
        select advance_audit_sink(${sink}, ${holder}, ${expected}, ${next}) as moved
      `.execute(database);
      return rows[0]?.moved === true;
    },
    async park({ sink, holder, expected, first, last, refused, because }) {
      const { rows } = await sql<{ moved: boolean }>`
        select park_audit_entries(${sink}, ${holder}, ${expected}, ${first}, ${last}, ${refused}, ${because}) as moved
      `.execute(database);
      return rows[0]?.moved === true;
    },
    async noteFailure(sink, holder, because) {
      await sql`select note_audit_sink_failure(${sink}, ${holder}, ${because})`.execute(database);
    },
    async list() {
      const { rows } = await sql<SinkState>`
        select s.name, s.next_index::float8 as "nextIndex",
               case when s.held_until > clock_timestamp() then s.holder end as holder, s.moved_at as "movedAt",
               s.failing_since as "failingSince", s.failure,
               (select count(*)::integer from audit_dead_letters d
                 where d.sink = s.name and d.replayed_at is null) as parked
          from audit_sinks s order by s.name
      `.execute(database);
      return rows;
    },
    async deadLetters(sink, limit) {
      const { rows } = await sql<DeadLetter>`
        select d.first_index::float8 as first, d.last_index::float8 as last, d.refused, d.because,
               d.parked_at as "parkedAt", d.replayed_at as "replayedAt"
          from audit_dead_letters d where d.sink = ${sink} order by d.first_index limit ${limit}
      `.execute(database);
      return rows;
    },
    async settleDeadLetters(sink, first, last) {
      const { rows } = await sql<{ settled: number }>`
        select settle_dead_letters(${sink}, ${first}, ${last}) as settled
      `.execute(database);
      return rows[0]?.settled ?? 0;
    },
  };
}
