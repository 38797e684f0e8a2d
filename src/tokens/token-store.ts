/**
 * Questions about tokens that were minted. Each applies the rule of the ledger (L8) to the database within its own
 * statement (L23): a revocation that has committed counts, wherever it came from.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { AuditEntry } from '../audit/audit-entry.ts';
import { hourOf, type SpentKey } from '../dpop/replay-key.ts';
import { TOKEN_LIVES, TOKEN_UNREVOKED } from '../revocations/rule-store.ts';
import { millisecondsOfIdentifier } from '../time/identifier.ts';

export type RecordedToken = {
  jti: string;
  sessionId: string;
  clientId: string;
  agentId: string;
  resource: string;
  /** False once it expired, was revoked or, if it is for one call, was spent. */
  alive: boolean;
  /** Whether it is for one call. */
  singleUse: boolean;
  consumed: boolean;
};

/** A token as the record has it; nobody can make it again from this. */
export type DescribedToken = {
  jti: string;
  sessionId: string;
  clientId: string;
  agentId: string;
  zone: string;
  resource: string;
  /** Names of actions with single spaces between. */
  scope: string;
  epoch: number;
  kid: string;
  issuedAt: Date;
  expiresAt: Date;
  call: object | null;
  consumedAt: Date | null;
  state: 'alive' | 'spent' | 'revoked' | 'expired';
};

export type Spending = { assertion: SpentKey; entry: AuditEntry };

export type Admission = { jti: string; proof: SpentKey; entry: AuditEntry };

export type TokenStore = {
  find(jti: string): Promise<RecordedToken | null>;
  /** For people. */
  describe(jti: string): Promise<DescribedToken | null>;
  /**
   * Spends a single-use token (L19): one update, whose row decides, in the statement that spends the caller's
   * assertion and records it.
   * @param resource the audience of the caller; a token of another one is not touched
   * @returns `consumedAt` is null when there was no live, unspent token of that name (NumericDate otherwise)
   */
  consume(
    token: { jti: string; resource: string },
    by: Spending,
  ): Promise<{ fresh: boolean; consumedAt: number | null }>;
  /**
   * Lets the holder of a token in, once for each proof: asks the rule whether the token lives, spends the proof if it
   * does, and records that; one statement (L23).
   */
  admit(admission: Admission): Promise<{ alive: boolean; fresh: boolean }>;
  /**
   * Says whether a token is alive, in the statement that spends the caller's assertion and records the answer: however
   * long that statement waited for its turn, a revocation that committed before it counts (INT-10).
   * @param jti null for what is no token of ours, or not the caller's
   */
  introspect(jti: string | null, by: Spending): Promise<{ fresh: boolean; alive: boolean }>;
  /**
   * Marks an assertion as used outside of a mint, and records what for.
   * @returns false when it was used before; then nothing is recorded
   */
  spend(spending: Spending): Promise<boolean>;
};

export function createTokenStore(database: Kysely<unknown>): TokenStore {
  return {
    async find(jti) {
      const hour = hourOfToken(jti);
      if (hour === null) return null;
      const { rows } = await sql<RecordedToken>`
        select t.jti, t.session_id as "sessionId", s.client_id as "clientId", s.agent_id as "agentId", t.resource,
               ${TOKEN_LIVES} and (t.call is null or t.consumed_at is null) as alive,
               t.call is not null as "singleUse", t.consumed_at is not null as consumed
          from tokens t join sessions s on s.id = t.session_id
         where t.hour = ${hour} and t.jti = ${jti}
      `.execute(database);
      return rows[0] ?? null;
    },

    async describe(jti) {
      const { rows } = await sql<DescribedToken>`
        select t.jti, t.session_id as "sessionId", s.client_id as "clientId", s.agent_id as "agentId", s.zone,
               t.resource, t.scope, t.epoch::float8 as epoch, t.kid, t.issued_at as "issuedAt",
               t.expires_at as "expiresAt", t.call, t.consumed_at as "consumedAt",
               case when not ${TOKEN_UNREVOKED} then 'revoked' when t.consumed_at is not null then 'spent'
                    when t.expires_at <= now() then 'expired' else 'alive' end as state
          from tokens t join sessions s on s.id = t.session_id
         where t.hour = ${hourOfToken(jti) ?? -1} and t.jti = ${jti}
      `.execute(database);
      return rows[0] ?? null;
    },

    async consume({ jti, resource }, { assertion, entry }) {
      const { rows } = await sql<{ fresh: boolean; consumedAt: number | null }>`
        with spent as (${insertSpent(assertion, entry.id)}),
        consumed as (
          update tokens t set consumed_at = now()
            from sessions s
           where t.hour = ${hourOfToken(jti) ?? -1} and t.jti = ${jti} and t.resource = ${resource}
             and s.id = t.session_id and t.call is not null and t.consumed_at is null and ${TOKEN_LIVES}
             and exists (select from spent)
          returning t.session_id, s.agent_id, floor(extract(epoch from t.consumed_at))::float8 as consumed_at
        ),
        recorded as (${insertEntry(entry, {
          rows: sql`consumed`,
          sessionId: sql`session_id`,
          more: sql`jsonb_build_object('agent', agent_id)`,
        })})
        select exists (select from spent) as fresh, (select consumed_at from consumed) as "consumedAt"
      `.execute(database);
      return rows[0] ?? { fresh: false, consumedAt: null };
    },

    async admit({ jti, proof, entry }) {
      const { rows } = await sql<{ alive: boolean; fresh: boolean }>`
        with living as materialized (
          select t.jti, t.session_id from tokens t join sessions s on s.id = t.session_id
           where t.hour = ${hourOfToken(jti) ?? -1} and t.jti = ${jti} and t.call is null and ${TOKEN_LIVES}
        ), spent as (
          insert into spent_jti (hour, key, token_id)
          select ${proof.hour}::integer, ${proof.key}::uuid, l.jti from living l
              on conflict do nothing
          returning key
        ), recorded as (${insertEntry(entry, {
          rows: sql`spent, living`,
          sessionId: sql`living.session_id`,
          more: ADMITTED_BY,
        })})
        select exists (select from living) as alive, exists (select from spent) as fresh
      `.execute(database);
      return rows[0] ?? { alive: false, fresh: false };
    },

    async introspect(jti, { assertion, entry }) {
      const { id, action, outcome, requestId, actor, details } = entry;
      const { rows } = await sql<{ fresh: boolean; alive: boolean }>`
        with spent as (${insertSpent(assertion, entry.id)}),
        asked as materialized (
          select t.jti, t.session_id, s.agent_id, ${TOKEN_LIVES} and (t.call is null or t.consumed_at is null) as alive
            from tokens t join sessions s on s.id = t.session_id
           where t.hour = ${hourOfToken(jti ?? '') ?? -1} and t.jti = ${jti}
        ),
        recorded as (
          insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
          select ${id}, ${action}, ${outcome}, ${requestId ?? null}, ${actor ?? null}, asked.session_id, asked.jti,
                 ${JSON.stringify(details ?? {})}::jsonb || jsonb_build_object('active', coalesce(asked.alive, false))
                   || case when asked.agent_id is null then '{}' else jsonb_build_object('agent', asked.agent_id) end
            from spent left join asked on true
        )
        select exists (select from spent) as fresh, exists (select from asked where alive) as alive
      `.execute(database);
      return rows[0] ?? { fresh: false, alive: false };
    },

    async spend(spending) {
      const { rows } = await spendStatement(spending).execute(database);
      return rows[0]?.fresh ?? false;
    },
  };
}

export function spendStatement({ assertion, entry }: Spending): RawBuilder<{ fresh: boolean }> {
  return sql`
    with spent as (${insertSpent(assertion, entry.id)}),
    recorded as (${insertEntry(entry, { rows: sql`spent`, sessionId: sql`${entry.sessionId ?? null}::text` })})
    select exists (select from spent) as fresh`;
}

function insertSpent({ hour, key }: SpentKey, on: string) {
  return sql`insert into spent_jti (hour, key, token_id) values (${hour}, ${key}, ${on})
             on conflict do nothing returning key`;
}

type Sql = ReturnType<typeof sql>;

/** By which version, and how far the ledger was in that snapshot. */
const ADMITTED_BY = sql`jsonb_build_object(
  'catalogue', (select version from catalogue_versions where active), 'epoch', (select epoch from revocation_head))`;

/** The line is written only if `rows` has one: no record of what did not happen, nothing without a record. */
function insertEntry(
  entry: AuditEntry,
  { rows, sessionId, more = sql`'{}'::jsonb` }: Record<'rows' | 'sessionId', Sql> & { more?: Sql },
) {
  const { id, action, outcome, requestId, actor, tokenId, details } = entry;
  return sql`
    insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
    select ${id}, ${action}, ${outcome}, ${requestId ?? null}, ${actor ?? null}, ${sessionId}, ${tokenId ?? null},
           ${JSON.stringify(details ?? {})}::jsonb || ${more}
      from ${rows}`;
}

export function isTokenId(text: string): boolean {
  return hourOfToken(text) !== null;
}

/** A token's partition is in its name; a name that has none is no token's. */
export function hourOfToken(jti: string): number | null {
  const milliseconds = jti.startsWith('tok_') ? millisecondsOfIdentifier(jti) : null;
  return milliseconds === null ? null : hourOf(milliseconds / 1000);
}
