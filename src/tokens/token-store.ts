/**
 * Questions about tokens that were minted. Each applies the rule of the ledger (L8) to the database within its own
 * statement (L23): a revocation that has committed counts, wherever it came from.
 */
import { type Kysely, sql } from 'kysely';
import { hourOf, type SpentKey } from '../dpop/replay-key.ts';
import { millisecondsOfIdentifier } from '../time/identifier.ts';

export type RecordedToken = {
  jti: string;
  sessionId: string;
  clientId: string;
  resource: string;
  /** NumericDate. */
  expiresAt: number;
  /** False once it expired, was revoked or, if it is for one call, was spent. */
  alive: boolean;
  consumed: boolean;
};

export type TokenStore = {
  find(jti: string): Promise<RecordedToken | null>;
  /**
   * Spends a single-use token (L19): one update, whose row decides.
   * @param resource the audience of the caller; a token of another one is not touched
   * @returns when it was spent, NumericDate; null when there was no live, unspent token of that name
   */
  consume(jti: string, resource: string): Promise<{ consumedAt: number } | null>;
  /**
   * Marks an assertion as used outside of a mint.
   * @returns false when it was used before
   */
  spend(spent: SpentKey, on: string): Promise<boolean>;
};

/** The rule for a token row `t` and its session `s`; false when an entry kills either. */
const LIVES = sql<boolean>`(
  t.expires_at > now()
  and not exists (
    select from revocations v
     where v.releases is null
       and (v.epoch > t.epoch or (v.standing and v.released_epoch is null))
       and v.key in (select 'action:' || a.name from string_to_table(t.scope, ' ') as a (name)
                     union all values ('token:' || t.jti), ('session:' || s.id), ('agent:' || s.client_id),
                       ('subject:' || s.agent_id), ('zone:' || s.zone), ('resource:' || t.resource), ('all')))
  and not exists (select from revocations v where v.key = 'signing-key:' || t.kid))`;

export function createTokenStore(database: Kysely<unknown>): TokenStore {
  return {
    async find(jti) {
      const hour = hourOfToken(jti);
      if (hour === null) return null;
      const { rows } = await sql<RecordedToken>`
        select t.jti, t.session_id as "sessionId", s.client_id as "clientId", t.resource,
               extract(epoch from t.expires_at)::float8 as "expiresAt",
               ${LIVES} and (t.call is null or t.consumed_at is null) as alive,
               t.consumed_at is not null as consumed
          from tokens t join sessions s on s.id = t.session_id
         where t.hour = ${hour} and t.jti = ${jti}
      `.execute(database);
      return rows[0] ?? null;
    },

    async consume(jti, resource) {
      const hour = hourOfToken(jti);
      if (hour === null) return null;
      const { rows } = await sql<{ consumedAt: number }>`
        update tokens t set consumed_at = now()
          from sessions s
         where t.hour = ${hour} and t.jti = ${jti} and t.resource = ${resource}
           and s.id = t.session_id and t.call is not null and t.consumed_at is null and ${LIVES}
        returning floor(extract(epoch from t.consumed_at))::float8 as "consumedAt"
      `.execute(database);
      return rows[0] ?? null;
    },

    async spend({ hour, key }, on) {
      const { numAffectedRows } = await sql`
        insert into spent_jti (hour, key, token_id) values (${hour}, ${key}, ${on}) on conflict do nothing
      `.execute(database);
      return numAffectedRows === 1n;
    },
  };
}

/** A token's partition is in its name; a name that has none is no token's. */
function hourOfToken(jti: string): number | null {
  const milliseconds = jti.startsWith('tok_') ? millisecondsOfIdentifier(jti) : null;
  return milliseconds === null ? null : hourOf(milliseconds / 1000);
}
