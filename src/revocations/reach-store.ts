/**
 * What a revocation would hit now: open sessions, and tokens that a resource server would still accept. Only counted
 * when somebody asks beforehand; revoking itself enumerates nothing.
 *
 * The rule of the ledger again, for a million tokens at once: not asked for each of them but joined with the entries,
 * once for what a session is named by, once for each combination of resource, actions and key, and once for tokens
 * that are named themselves. A test holds it to the rule of rule-store.ts.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { createLanes } from '../bounds/lanes.ts';
import type { RevocationTarget } from './revocation.ts';

export type Reach = { sessions: number; liveTokens: number };

export type ReachStore = {
  /**
   * One after the other.
   * @param target of kind `agent`: by its name
   * @throws {Refusal} `temporarily_unavailable` when too many wait
   */
  count(target: RevocationTarget): Promise<Reach>;
};

type Condition = RawBuilder<unknown>;
const NOTHING = sql`false`;

/** Of those who ask meanwhile. To count a million tokens takes a second, on connections that others need. */
const MAX_WAITING = 32;

export function createReachStore(database: Kysely<unknown>): ReachStore {
  async function count(target: RevocationTarget): Promise<Reach> {
    const { session, token } = conditionsOf(target);
    const { rows } = await sql<Reach>`
        with entry as materialized (
          select v.key, max(v.epoch) as killed, bool_or(v.standing and v.released_epoch is null) as stands
            from revocations v where v.releases is null group by v.key
        ), wide as materialized (
          select e.key, e.killed, e.stands from entry e where e.key = 'all' or e.key like 'zone:%'
        ), named as materialized (
          select e.key, e.killed, e.stands from entry e where e.key like 'token:%'
        ), session as materialized (
          select s.id, s.client_id, s.agent_id, s.zone, s.exempt_from_wide, s.opened_epoch, s.expires_at,
                 coalesce(greatest(i.killed, a.killed, u.killed, w.killed), -1) as killed,
                 coalesce(i.stands, false) or coalesce(a.stands, false) or coalesce(u.stands, false)
                   or coalesce(w.stands, false) as stands
            from sessions s
            left join entry i on i.key = 'session:' || s.id
            left join entry a on a.key = 'agent:' || s.client_id
            left join entry u on u.key = 'subject:' || s.agent_id
            left join lateral (
              select max(w.killed) as killed, bool_or(w.stands) as stands from wide w
               where not s.exempt_from_wide and w.key in ('all', 'zone:' || s.zone)) as w on true
           where s.expires_at > now() - interval '1 hour'
        ), token as materialized (
          select t.jti, t.session_id, t.epoch, t.resource, t.scope, t.kid
            from tokens t
           where t.hour >= ${OLDEST_HOUR} and t.expires_at > now() and (t.call is null or t.consumed_at is null)
        ), kind as materialized (
          select k.resource, k.scope, k.kid,
                 coalesce(max(e.killed), -1) as killed, coalesce(bool_or(e.stands), false) as stands,
                 exists (select from entry e where e.key = 'signing-key:' || k.kid) as key_revoked
            from (select distinct t.resource, t.scope, t.kid from token t) as k
            left join entry e on e.key = 'resource:' || k.resource
              or e.key in (select 'action:' || a.name from string_to_table(k.scope, ' ') as a (name))
           group by k.resource, k.scope, k.kid
        )
        select (select count(*) from session s
                 where ${session} and s.expires_at > now() and s.killed <= s.opened_epoch and not s.stands
               )::float8 as sessions,
               (select count(*)
                  from token t
                  join session s on s.id = t.session_id
                  left join kind k on k.resource = t.resource and k.scope = t.scope and k.kid = t.kid
                  left join named o on o.key = 'token:' || t.jti
                 where ${token} and not k.key_revoked and s.killed <= t.epoch and not s.stands
                   and (s.exempt_from_wide or k.killed <= t.epoch and not k.stands)
                   and coalesce(o.killed, -1) <= t.epoch and not coalesce(o.stands, false)
               )::float8 as "liveTokens"
      `.execute(database);
    return rows[0] ?? { sessions: 0, liveTokens: 0 };
  }

  const oneByOne = createLanes<RevocationTarget, Reach>({
    lanes: 1,
    maxBatch: 1,
    maxWaiting: MAX_WAITING,
    run: (targets) => Promise.allSettled(targets.map(count)),
  });
  return { count: async (target) => oneByOne.submit(target) };
}

/** Tokens live for a quarter of an hour: older partitions have none. */
const OLDEST_HOUR = sql`(floor(extract(epoch from now()) / 3600)::integer - 1)`;

/** Which sessions `s` and tokens `t` of sessions `s` the target names; wide targets pass operators by (L4). */
function conditionsOf(target: RevocationTarget): { session: Condition; token: Condition } {
  const both = (condition: Condition) => ({ session: condition, token: condition });
  switch (target.kind) {
    case 'session':
      return both(sql`s.id = ${target.id}`);
    case 'agent':
      return both(sql`s.client_id = ${target.id}`);
    case 'subject':
      return both(sql`s.agent_id = ${target.id}`);
    case 'zone':
      return both(sql`s.zone = ${target.id} and not s.exempt_from_wide`);
    case 'all':
      return both(sql`not s.exempt_from_wide`);
    case 'token':
      return { session: NOTHING, token: sql`t.jti = ${target.id}` };
    case 'signing-key':
      return { session: NOTHING, token: sql`t.kid = ${target.id}` };
    case 'resource':
      return { session: NOTHING, token: sql`t.resource = ${target.id} and not s.exempt_from_wide` };
    case 'action':
      return {
        session: NOTHING,
        token: sql`${target.id} = any (string_to_array(t.scope, ' ')) and not s.exempt_from_wide`,
      };
  }
}
