/** The register of verifiers: what each has applied, and until when it may act on that. */
import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';

/** What one instance says in its questions, those of one batch together. */
export type Attendance = {
  instance: string;
  /** Audience of its resource. */
  resource: string;
  generation: number;
  appliedEpoch: number;
  /** base64url, of the ledger at the applied epoch; null when it does not say. */
  digest: string | null;
  /** Of the longest lease that it may be granted. */
  leaseSeconds: number;
  /** True when it decides nothing from now on. */
  leaving: boolean;
};

export type Registered = {
  /** False when the instance is known, as that of another resource. */
  own: boolean;
  /** False once it said that it decides nothing any more; then no lease was granted. */
  open: boolean;
  /** Why what it says it applied is not credited; null when it is. */
  doubt: 'ahead' | 'differs' | null;
};

export type VerifierStore = {
  /**
   * Commits what these instances say (L14, step 1): one statement, each instance of each resource once. One that two
   * resources name is that of the resource that has it, or of the first.
   * @returns in their order
   */
  register(attendances: readonly Attendance[]): Promise<Registered[]>;
};

/*
 * An instance is credited with an epoch only if this ledger has it, in this generation, and says the same there: only
 * then does it acknowledge anything (L12, L17). `lease_ends_at` never shrinks, and a closed instance stays closed.
 * Rows are taken in the order of their names, so that two brokers' batches wait for each other and never in a circle.
 * Of two resources that name one instance it is `own` to the one that is registered: who knows its name cannot keep it
 * from its lease.
 */
const REGISTER = {
  name: 'verifiers_register',
  text: `
with head as materialized (
  select epoch, generation, digest from revocation_head
), asked as materialized (
  select a.n, a.i as instance, a.r as resource, a.g as generation, a.e as epoch, a.s as seconds, a.l as leaving, d.doubt
    from json_to_recordset($1::json)
      as a (n integer, i text, r text, g integer, e bigint, d text, s integer, l boolean)
   cross join head h
   cross join lateral (
     select case when a.e = 0 then null
                 when a.g > h.generation or (a.g = h.generation and a.e > h.epoch) then 'ahead'
                 when a.g < h.generation then 'older'
                 when a.d is not null and decode(a.d, 'base64') <>
                      (case when a.e = h.epoch then h.digest
                            else (select r.digest from revocations r where r.epoch = a.e) end) then 'differs'
            end as doubt) as d
), own as materialized (
  select distinct on (a.instance) a.*, v.applied_epoch as epoch_before
    from asked a left join verifiers v on v.instance = a.instance
   order by a.instance, v.resource = a.resource desc, a.n
), written as (
  insert into verifiers as v
         (instance, resource, started_at, generation, applied_epoch, renewed_at, lease_seconds, lease_ends_at, closed_at)
  select a.instance, a.resource, now(), a.generation, case when a.doubt is null then a.epoch else 0 end, now(),
         a.seconds, now() + make_interval(secs => a.seconds), case when a.leaving then now() end
    from own a
   order by a.instance
      on conflict (instance) do update
     set generation = excluded.generation,
         applied_epoch = greatest(v.applied_epoch, excluded.applied_epoch),
         renewed_at = excluded.renewed_at,
         lease_seconds = case when v.closed_at is null then excluded.lease_seconds else v.lease_seconds end,
         lease_ends_at = case when v.closed_at is null then greatest(v.lease_ends_at, excluded.lease_ends_at)
                              else v.lease_ends_at end,
         closed_at = coalesce(v.closed_at, excluded.closed_at)
   where v.resource = excluded.resource
  returning v.instance, v.resource, v.applied_epoch, v.closed_at
), acknowledged as (
  insert into acknowledgements (instance, epoch, applied_at)
  select w.instance, w.applied_epoch, now()
    from written w join own o on o.instance = w.instance
   where exists (select from awaited_epochs e
                  where e.epoch > coalesce(o.epoch_before, 0) and e.epoch <= w.applied_epoch)
      on conflict do nothing
), claimed as (
  insert into ledger_claims as c (resource, epoch, generation, claimed_at)
  select distinct on (a.resource) a.resource, least(a.epoch, 4503599627370496), a.generation, now()
    from asked a where a.doubt = 'ahead'
   order by a.resource, a.epoch desc
      on conflict (resource) do update
     set epoch = excluded.epoch, generation = excluded.generation, claimed_at = excluded.claimed_at
   where c.epoch < excluded.epoch
)
select w.instance is not null as own, w.closed_at is null or a.leaving as open,
       nullif(a.doubt, 'older') as doubt
  from asked a left join written w on w.instance = a.instance and w.resource = a.resource
 order by a.n`,
};

export function createVerifierStore(pool: Pool): VerifierStore {
  return {
    async register(attendances) {
      const rows = attendances.map((each, n) => ({
        n,
        i: each.instance,
        r: each.resource,
        g: each.generation,
        e: each.appliedEpoch,
        d: each.digest === null ? null : base64(each.digest),
        s: each.leaseSeconds,
        l: each.leaving,
      }));
      return (await runStatement<Registered>(pool, { ...REGISTER, values: [JSON.stringify(rows)] })).rows;
    },
  };
}

function base64(base64url: string): string {
  return Buffer.from(base64url, 'base64url').toString('base64');
}
