/**
 * The mint's statement: the one place that touches the tables of several capabilities at once, because everything
 * has to be true in one snapshot. It applies the rule of the ledger to session, agent and key, reads the epoch
 * (L9: a plain SELECT, in the snapshot of every check, never a later one), spends the proof and the assertion,
 * opens the session of a new key, takes `iat` and `exp` from the database clock (L10), and records the token and
 * its audit entry. What is revoked wide passes operators by (L4).
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
 * Named prepared statements of plain `pg`, since kysely's driver has none, on connections that keep one plan for
 * good: planning takes longer than running. So nothing here may hang on what the tables look like now; the session
 * is looked up by a lateral join, which is an index scan whatever a plan made over an empty table believes.
 */
import type { Pool } from 'pg';
import type { RefusalReason } from '../errors/refusal-reasons.ts';
import { type MintRow, READ_ROWS, writeRows } from './mint-row.ts';

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
  | (Refused & { reason: MintRefusal });

/** In which session, if there is one, and at which epoch. */
type Refused = { token_id: string; session_id: string | null; epoch: number };

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
  ): Promise<(MintOutcome | (Refused & { reason: 'session_contended' }))[]>;
};

/** A token that would live for less is not worth minting. */
export const MIN_REMAINING_SECONDS = 5;

/** Every check, in one snapshot. */
const JUDGED = `
request as (${READ_ROWS}
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
                    where v.key in ('session:' || s.id, 'agent:' || r.client_id, 'subject:' || r.agent_id)
                       or not r.exempt
                          and (v.key in ('zone:' || coalesce(s.zone, r.zone), 'resource:' || r.resource, 'all')
                               or v.key in (select 'action:' || a.name
                                              from string_to_table(r.scope, ' ') as a (name))))
        then 'standing_revocation'
      when s.opened_epoch < head.epoch and exists (
             select from revocations v
              where v.epoch > s.opened_epoch and v.releases is null
                and v.key = any (array['session:' || s.id, 'agent:' || s.client_id, 'subject:' || s.agent_id]
                                 || case when not r.exempt then array['zone:' || s.zone, 'all'] end))
        then 'session_revoked'
      when s.expires_at < now() + interval '${MIN_REMAINING_SECONDS} seconds' then 'session_expired'
    end as reason
    from request r cross join head left join lateral (
      select e.id, e.agent_id, e.client_id, e.zone, e.opened_epoch, e.expires_at
        from sessions e where e.agent_id = r.agent_id and e.jkt = r.jkt limit 1) as s on true
)`;

/** Proof and assertion of whoever may have a token, under the token's name, unless somebody was earlier. */
const SPEND = `
spent as (
  insert into spent_jti (hour, key, token_id)
  select hour, key, token_id from (
    select proof_hour as hour, proof_key as key, token_id from judged where reason is null
    union all
    select assertion_hour, assertion_key, token_id from judged where reason is null) as each_one
   order by hour, key, token_id
      on conflict do nothing
  returning key, token_id
)`;

/** What these very tokens have spent in a statement before. */
const FIND_SPENT = `
spent as materialized (
  select p.key, p.token_id
    from judged j join spent_jti p
      on (p.hour, p.key) in ((j.proof_hour, j.proof_key), (j.assertion_hour, j.assertion_key))
     and p.token_id = j.token_id
   where j.reason is null
)`;

/** Sessions, tokens and the record, for those who have spent both. */
const GRANT = `
burned as materialized (
  select token_id, count(*) = 2 as whole from spent group by token_id
), opened as (
  insert into sessions (id, agent_id, client_id, jkt, zone, exempt_from_wide, opened_epoch, opened_at, expires_at)
  select distinct on (j.agent_id, j.jkt) 'ses_' || j.name, j.agent_id, j.client_id, j.jkt, j.zone, j.exempt, j.epoch,
         now(), now() + make_interval(secs => j.session_seconds)
    from judged j
   where j.reason is null and j.session_id is null
     and j.token_id in (select b.token_id from burned b where b.whole)
   order by j.agent_id, j.jkt
      on conflict (agent_id, jkt) do nothing
  returning id, agent_id, jkt
), placed as materialized (
  select j.*, b.whole,
         coalesce(j.session_id,
                  (select o.id from opened o where o.agent_id = j.agent_id and o.jkt = j.jkt)) as in_session
    from judged j left join burned b on b.token_id = j.token_id
), minted as (
  insert into tokens (hour, jti, session_id, resource, scope, kid, epoch, issued_at, expires_at, call)
  select p.token_hour, p.token_id, p.in_session, p.resource, p.scope, $2, p.epoch, to_timestamp(p.iat),
         to_timestamp(p.exp), p.call
    from placed p where p.whole and p.in_session is not null
), recorded as (
  insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
  select 'aud_' || p.name, 'token.minted', 'allowed', p.request_id, p.client_id, p.in_session, p.token_id,
         jsonb_build_object('source', p.source, 'jkt', p.jkt, 'client_kid', p.client_kid, 'agent', p.agent_id,
                            'zone', p.session_zone, 'resource', p.resource, 'scope', p.scope, 'kid', $2::text,
                            'catalogue', p.catalogue_version, 'epoch', p.epoch, 'proof', p.proof_key,
                            'expires', p.exp, 'rule', 'granted', 'call', p.call_digest)
    from placed p where p.whole and p.in_session is not null
)
select p.token_id, p.in_session as session_id, p.session_zone as zone, p.epoch::float8 as epoch,
  p.iat::float8 as iat, p.exp::float8 as exp,
  case
    when p.reason is not null then p.reason
    when p.whole and p.in_session is not null then null
    when p.whole then 'session_contended'
    when exists (select from spent b where b.token_id = p.token_id and b.key = p.proof_key) then 'assertion_replayed'
    else 'proof_replayed'
  end as reason
  from placed p`;

const MINT = { name: 'mint', text: `with ${JUDGED}, ${SPEND}, ${GRANT}` };
const MINT_AGAIN = { name: 'mint_again', text: `with ${JUDGED}, ${FIND_SPENT}, ${GRANT}` };

/** @param pool connections that keep one plan for good */
export function createMintStore(pool: Pool): MintStore {
  return {
    async mint(rows, { kid, spentBefore = false }) {
      const statement = spentBefore ? MINT_AGAIN : MINT;
      const result = await pool.query({ ...statement, values: [writeRows(rows), kid] });
      return result.rows;
    },
  };
}
