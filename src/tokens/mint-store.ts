/**
 * The mint's statement: the one place that touches the tables of several capabilities at once, because everything
 * has to be true in one snapshot. It applies the rule of the ledger to session, agent and key, reads the epoch
 * (L9: a plain SELECT, in the snapshot of every check, never a later one), spends the proof and the assertion,
 * takes `iat` and `exp` from the database clock (L10), and records the token and its audit entry.
 *
 * What goes wrong in such a batch, and what stands against it:
 * - one proof, many tokens in a batch: a spent row carries the token's id, and the token is joined on that;
 * - the same new session twice, here or in another broker: sessions are opened by a statement of their own
 *   before, so that the mint's snapshot sees whoever won;
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

export type SessionRow = Pick<
  MintRow,
  'agent_id' | 'client_id' | 'zone' | 'jkt' | 'session_seconds' | 'catalogue_version'
> & { session_id: string };

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
  /** Opens what is not open yet. Whoever else opens the same session at the same time, one row comes of it. */
  openSessions(rows: readonly SessionRow[]): Promise<void>;
  /** @param kid the key that will sign, checked in the same snapshot */
  mint(
    rows: readonly MintRow[],
    kid: string,
  ): Promise<(MintOutcome | { token_id: string; reason: 'session_missing' })[]>;
};

/** A token that would live for less is not worth minting. */
export const MIN_REMAINING_SECONDS = 5;

const OPEN_SESSIONS = `
with request as materialized (
  select distinct on (agent_id, jkt) *
    from json_to_recordset($1::json) as r (
      session_id text, agent_id text, client_id text, zone text, jkt text, session_seconds integer,
      catalogue_version integer)
   order by agent_id, jkt
)
insert into sessions (id, agent_id, client_id, jkt, zone, opened_epoch, opened_at, expires_at)
select r.session_id, r.agent_id, r.client_id, r.jkt, r.zone, head.epoch, now(),
       now() + make_interval(secs => r.session_seconds)
  from request r cross join revocation_head head
 where exists (select from catalogue_versions c where c.active and c.version = r.catalogue_version)
   and not exists (
     select from revocations v
      where v.standing and v.released_epoch is null
        and v.key in ('agent:' || r.client_id, 'subject:' || r.agent_id, 'zone:' || r.zone, 'all'))
 order by r.agent_id, r.jkt
    on conflict (agent_id, jkt) do nothing`;

const MINT = `
with request as materialized (
  select * from json_to_recordset($1::json) as r (
    token_id text, token_hour integer, catalogue_version integer, agent_id text, client_id text, zone text,
    jkt text, lifetime_seconds integer, resource text, scope text, call jsonb, proof_hour integer, proof_key uuid,
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
    least(head.now_seconds + r.lifetime_seconds, floor(extract(epoch from s.expires_at))::bigint) as exp,
    case
      when head.catalogue_version is distinct from r.catalogue_version then 'catalogue_differs'
      when not head.key_may_sign then 'signing_key_unavailable'
      when exists (select from standing v
                    where v.key in ('session:' || s.id, 'agent:' || r.client_id, 'subject:' || r.agent_id,
                                    'zone:' || coalesce(s.zone, r.zone), 'resource:' || r.resource, 'all')
                       or v.key in (select 'action:' || a.name from string_to_table(r.scope, ' ') as a (name)))
        then 'standing_revocation'
      when s.id is null then 'session_missing'
      when s.opened_epoch < head.epoch and exists (
             select from revocations v
              where v.epoch > s.opened_epoch and v.releases is null
                and v.key in ('session:' || s.id, 'agent:' || s.client_id, 'subject:' || s.agent_id,
                              'zone:' || s.zone, 'all'))
        then 'session_revoked'
      when s.expires_at < now() + interval '${MIN_REMAINING_SECONDS} seconds' then 'session_expired'
    end as reason
    from request r cross join head left join sessions s on s.agent_id = r.agent_id and s.jkt = r.jkt
), spent as (
  insert into spent_jti (hour, key, token_id)
  select hour, key, token_id from (
    select proof_hour as hour, proof_key as key, token_id from judged where reason is null
    union all
    select assertion_hour, assertion_key, token_id from judged where reason is null) as each_one
   order by hour, key, token_id
      on conflict do nothing
  returning key, token_id
), minted as (
  insert into tokens (hour, jti, session_id, resource, scope, kid, epoch, issued_at, expires_at, call)
  select j.token_hour, j.token_id, j.session_id, j.resource, j.scope, $2, j.epoch, to_timestamp(j.iat),
         to_timestamp(j.exp), j.call
    from judged j
   where exists (select from spent b where b.token_id = j.token_id and b.key = j.proof_key)
     and exists (select from spent b where b.token_id = j.token_id and b.key = j.assertion_key)
  returning jti
), recorded as (
  insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
  select j.audit_id, 'token.minted', 'allowed', j.request_id, j.client_id, j.session_id, j.token_id, j.audit_details
    from judged j join minted m on m.jti = j.token_id
)
select j.token_id, j.session_id, j.session_zone as zone, j.epoch::float8 as epoch, j.iat::float8 as iat,
  j.exp::float8 as exp,
  case
    when j.reason is not null then j.reason
    when m.jti is not null then null
    when exists (select from spent b where b.token_id = j.token_id and b.key = j.proof_key) then 'assertion_replayed'
    else 'proof_replayed'
  end as reason
  from judged j left join minted m on m.jti = j.token_id`;

export function createMintStore(pool: Pool): MintStore {
  return {
    async openSessions(rows) {
      await pool.query({ name: 'open_sessions', text: OPEN_SESSIONS, values: [JSON.stringify(rows)] });
    },
    async mint(rows, kid) {
      const result = await pool.query({ name: 'mint', text: MINT, values: [JSON.stringify(rows), kid] });
      return result.rows;
    },
  };
}
