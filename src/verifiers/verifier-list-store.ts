/** The register of verifiers as operators see it. */
import { type Kysely, sql } from 'kysely';

/** `live` may still decide; `ended` renewed no lease before its last one was over; `closed` said that it was done. */
export type VerifierState = 'live' | 'ended' | 'closed';

export const VERIFIER_STATES: readonly VerifierState[] = ['live', 'ended', 'closed'];

export type ListedVerifier = {
  instance: string;
  /** Audience. */
  resource: string;
  state: VerifierState;
  startedAt: Date;
  renewedAt: Date;
  generation: number;
  appliedEpoch: number;
  /** Entries of the ledger that it has not said to have applied. */
  lagEpochs: number;
  /** Seconds since the oldest of them was written; 0 when there is none. */
  lagSeconds: number;
  leaseSeconds: number;
  leaseEndsAt: Date;
};

export type VerifierSummary = { live: number; lagEpochs: number; lagSeconds: number };

export type VerifierListStore = {
  /** In the order of their names, from the one before `after`; at most `atMost`. */
  list(
    filters: { resource?: string | undefined; state?: VerifierState | undefined },
    page: { after: string | null; atMost: number },
  ): Promise<ListedVerifier[]>;
  /** How many are live, and how far the last of them is behind. */
  summarize(): Promise<VerifierSummary>;
};

const STATE = sql`
  case when v.closed_at is not null then 'closed' when v.lease_ends_at > now() then 'live' else 'ended' end`;

/** Of the first entry that is not applied; what was pruned is older than anything that could be kept waiting. */
const LAG_SECONDS = sql`
  coalesce((select extract(epoch from now() - r.created_at)::float8
              from revocations r where r.epoch > v.applied_epoch order by r.epoch limit 1), 0)`;

export function createVerifierListStore(database: Kysely<unknown>): VerifierListStore {
  return {
    async list({ resource, state }, { after, atMost }) {
      const conditions = [
        ...(resource === undefined ? [] : [sql`v.resource = ${resource}`]),
        ...(state === undefined ? [] : [sql`${STATE} = ${state}`]),
        ...(after === null ? [] : [sql`v.instance < ${after}`]),
      ];
      const { rows } = await sql<ListedVerifier>`
        select v.instance, v.resource, ${STATE} as state, v.started_at as "startedAt", v.renewed_at as "renewedAt",
               v.generation, v.applied_epoch::float8 as "appliedEpoch",
               (h.epoch - v.applied_epoch)::float8 as "lagEpochs", ${LAG_SECONDS} as "lagSeconds",
               v.lease_seconds as "leaseSeconds", v.lease_ends_at as "leaseEndsAt"
          from verifiers v cross join revocation_head h
         where ${sql.join([sql`true`, ...conditions], sql` and `)}
         order by v.instance desc limit ${atMost}
      `.execute(database);
      return rows;
    },

    async summarize() {
      const { rows } = await sql<VerifierSummary>`
        select count(v.instance)::float8 as live, coalesce(max(h.epoch - v.applied_epoch), 0)::float8 as "lagEpochs",
               coalesce((select extract(epoch from now() - r.created_at)::float8
                           from revocations r where r.epoch > min(v.applied_epoch) order by r.epoch limit 1), 0)
                 as "lagSeconds"
          from revocation_head h left join verifiers v on v.closed_at is null and v.lease_ends_at > now()
      `.execute(database);
      return rows[0] ?? { live: 0, lagEpochs: 0, lagSeconds: 0 };
    },
  };
}
