/**
 * The mint's statement: the one place that touches the tables of several capabilities at once, because everything
 * has to be true in one snapshot. It applies the rule of the ledger to session, agent and key, reads the epoch
 * (L9: a plain SELECT, in the snapshot of every check, never a later one), spends the proof and the assertion,
 * opens the session of a new key, takes `iat` and `exp` from the database clock (L10), and records the token and
 * its audit entry.
 *
 * What goes wrong in such a batch, and what stands against it:
 * - one proof, many tokens in a batch: a spent row carries the token's id, and the token is joined on that;
 * - the same new session twice in a batch: it is inserted once and joined by both;
 * - the same new session in two brokers at once: one of them inserts it, the other one waits, sees nothing in its
 *   older snapshot, and says `session_contended`. Its identifiers are spent in its tokens' names by then, so it
 *   asks again with `spentBefore`, in a newer snapshot and through every check anew;
 * - two brokers spend in opposite order: rows are sorted, and a deadlock is tried again by the caller;
 * - one poisonous row aborts all: the caller runs a failed batch one by one.
 *
 * A named prepared statement of plain `pg`, since kysely's driver has none.
 */
import type { Pool } from 'pg';
import type { RefusalReason } from '../errors/refusal.ts';

/** One request of a batch, as the statement reads it. */
export type MintRow = {
  token_id: string;
  /** Of the session that is opened when the key has none. */
  new_session_id: string;
  token_hour: number;
  /** Of the catalogue that decided the grant; the statement wants it to be the active one (L24). */
  catalogue_version: number;
  agent_id: string;
  client_id: string;
  zone: string;
  jkt: string;
  session_seconds: number;
  lifetime_seconds: number;
  resource: string;
  /** Action names with single spaces between. */
  scope: string;
  call: object | null;
  proof_hour: number;
  proof_key: string;
  assertion_hour: number;
  assertion_key: string;
  request_id: string;
  audit_id: string;
  audit_details: object;
};

export type MintOutcome =
  | {
      token_id: string;
      reason: null;
      session_id: string;
      epoch: number;
      iat: number;
      exp: number;
      zone: string;
    }
  | { token_id: string; reason: MintRefusal };

export type MintRefusal = RefusalReason & MintReason;
type MintReason =
  | 'catalogue_differs'
  | 'signing_key_unavailable'
  | 'standing_revocation'
  | 'session_expired'
  | 'session_revoked'
  | 'proof_replayed'
  | 'assertion_replayed';

export type MintStore = {
  /**
   * @param options.kid the key that will sign, checked in the same snapshot
   * @param options.spentBefore for requests that were answered `session_contended`
   */
  mint(
    rows: readonly MintRow[],
    options: { kid: string; spentBefore?: boolean },
  ): Promise<(MintOutcome | { token_id: string; reason: 'session_contended' })[]>;
};

/** A token that would live for less is not worth minting. */
export const MIN_REMAINING_SECONDS = 5;

const MINT = `
with request as materialized (
  select * from json_to_recordset($1::json) as r (
    token_id text, new_session_id text, token_hour integer, catalogue_version integer, agent_id text,
    client_id text, zone text, jkt text, session_seconds integer, lifetime_seconds integer, resource text, scope text, call jsonb, proof_hour integer, proof_key uuid,
    assertion_hour integer, assertion_key uuid, request_id text, audit_id text, audit_details jsonb)
), head as materialized (
  select epoch, floor(extract(epoch from now()))::bigint as now_seconds,
         (select version from catalogue_versions where active) as catalogue_version,
         token_key_may_sign($2)
           and not exists (select from revocations v where v.key = 'signing-key:' || $2) as key_may_sign
    from revocation_head
), standing as materialized (
  select v.key from revocations v where v.standing and v.released_epoch is null
), judged as materialized (
  select r.*, s.id as session_id, coalesce(s.zone, r.zone) as session_zone, head.epoch, head.now_seconds as iat,
    least(head.now_seconds + r.lifetime_seconds,
          coalesce(floor(extract(epoch from s.expires_at))::bigint, head.now_seconds + r.session_seconds)) as exp,
    case
      when head.catalogue_version is distinct from r.catalogue_version then 'catalogue_differs'
      when not head.key_may_sign then 'signing_key_unavailable'
      when exists (select from standing v
                    where v.key in ('session:' || s.id, 'agent:' || r.client_id, 'subject:' || r.agent_id,
                                    'zone:' || coalesce(s.zone, r.zone), 'resource:' || r.resource, 'all')
                       or v.key in (select 'action:' || a.name from string_to_table(r.scope, ' ') as a (name)))
        then 'standing_revocation'
      when s.opened_epoch < head.epoch and exists (
             select from revocations v
              where v.epoch > s.opened_epoch and v.releases is null
                and v.key in ('session:' || s.id, 'agent:' || s.client_id, 'subject:' || s.agent_id,
                              'zone:' || s.zone, 'all'))
        then 'session_revoked'
      when s.expires_at < now() + interval '${MIN_REMAINING_SECONDS} seconds' then 'session_expired'
    end as reason
    from request r cross join head left join sessions s on s.agent_id = r.agent_id and s.jkt = r.jkt
), spent_now as (
  insert into spent_jti (hour, key, token_id)
  select hour, key, token_id from (
    select proof_hour as hour, proof_key as key, token_id from judged where reason is null and not $3
    union all
    select assertion_hour, assertion_key, token_id from judged where reason is null and not $3) as each_one
   order by hour, key, token_id
      on conflict do nothing
  returning key, token_id
), spent as materialized (
  select key, token_id from spent_now
  union all
  select p.key, p.token_id from judged j join spent_jti p
      on (p.hour, p.key) in ((j.proof_hour, j.proof_key), (j.assertion_hour, j.assertion_key))
     and p.token_id = j.token_id
   where $3 and j.reason is null
), granted as materialized (
  select j.* from judged j
   where j.reason is null
     and exists (select from spent b where b.token_id = j.token_id and b.key = j.proof_key)
     and exists (select from spent b where b.token_id = j.token_id and b.key = j.assertion_key)
), opened as (
  insert into sessions (id, agent_id, client_id, jkt, zone, opened_epoch, opened_at, expires_at)
  select distinct on (g.agent_id, g.jkt) g.new_session_id, g.agent_id, g.client_id, g.jkt, g.zone, g.epoch, now(),
         now() + make_interval(secs => g.session_seconds)
    from granted g where g.session_id is null
   order by g.agent_id, g.jkt
      on conflict (agent_id, jkt) do nothing
  returning id, agent_id, jkt
), placed as materialized (
  select g.*, coalesce(g.session_id, o.id) as in_session
    from granted g left join opened o on o.agent_id = g.agent_id and o.jkt = g.jkt
), minted as (
  insert into tokens (hour, jti, session_id, resource, scope, kid, epoch, issued_at, expires_at, call)
  select p.token_hour, p.token_id, p.in_session, p.resource, p.scope, $2, p.epoch, to_timestamp(p.iat),
         to_timestamp(p.exp), p.call
    from placed p where p.in_session is not null
), recorded as (
  insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
  select p.audit_id, 'token.minted', 'allowed', p.request_id, p.client_id, p.in_session, p.token_id, p.audit_details
    from placed p where p.in_session is not null
)
select j.token_id, p.in_session as session_id, j.session_zone as zone, j.epoch::float8 as epoch,
  j.iat::float8 as iat, j.exp::float8 as exp,
  case
    when j.reason is not null then j.reason
    when p.in_session is not null then null
    when p.token_id is not null then 'session_contended'
    when exists (select from spent b where b.token_id = j.token_id and b.key = j.proof_key) then 'assertion_replayed'
    else 'proof_replayed'
  end as reason
  from judged j left join placed p on p.token_id = j.token_id`;

export function createMintStore(pool: Pool): MintStore {
  return {
    async mint(rows, { kid, spentBefore = false }) {
      const values = [JSON.stringify(rows), kid, spentBefore];
      const result = await pool.query({ name: 'mint', text: MINT, values });
      return result.rows;
    },
  };
}
