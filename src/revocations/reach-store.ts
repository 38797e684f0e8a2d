/**
 * What a revocation would hit now: open sessions, and tokens that a resource server would still accept. Only counted
 * when somebody asks beforehand; revoking itself enumerates nothing.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { RevocationTarget } from './revocation.ts';
import { SESSION_OPEN, TOKEN_LIVES } from './rule-store.ts';

export type Reach = { sessions: number; liveTokens: number };

export type ReachStore = {
  /** @param target of kind `agent`: by its name */
  count(target: RevocationTarget): Promise<Reach>;
};

type Condition = RawBuilder<unknown>;
const NOTHING = sql`false`;

export function createReachStore(database: Kysely<unknown>): ReachStore {
  return {
    async count(target) {
      const { session, token } = conditionsOf(target);
      const { rows } = await sql<Reach>`
        select (select count(*) from sessions s where ${session} and ${SESSION_OPEN})::float8 as sessions,
               (select count(*) from tokens t join sessions s on s.id = t.session_id
                 where t.hour >= ${OLDEST_HOUR} and ${token} and ${TOKEN_LIVES}
                   and (t.call is null or t.consumed_at is null))::float8 as "liveTokens"
      `.execute(database);
      return rows[0] ?? { sessions: 0, liveTokens: 0 };
    },
  };
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
