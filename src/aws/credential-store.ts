/**
 * What the database says to a request for AWS credentials, before AWS is asked and after it answered. Each statement
 * applies the rule of the ledger in its own snapshot (L23), so that nobody gets what was asked for before it was stopped.
 */
import { type Kysely, sql } from 'kysely';
import type { AuditEntry } from '../audit/audit-entry.ts';
import { hourOf, type SpentKey } from '../dpop/replay-key.ts';
import { TOKEN_LIVES } from '../revocations/rule-store.ts';
import { millisecondsOfIdentifier } from '../time/identifier.ts';

export type CredentialStore = {
  /**
   * Lets the holder of a token in, once for each proof, and once at all if the token is for one call. `single` is false
   * when another request used such a token in the same moment.
   *
   * @param admission.catalogueVersion under any other applied version nobody is let in
   */
  admit(admission: {
    jti: string;
    resource: string;
    catalogueVersion: number;
    proof: SpentKey;
    entry: AuditEntry;
  }): Promise<{ alive: boolean; fresh: boolean; single: boolean }>;
  /** Records that credentials exist, unless the token was killed or expired by now: then false, and nobody gets them. */
  issue(issue: { jti: string; entry: AuditEntry }): Promise<boolean>;
};

export function createCredentialStore(database: Kysely<unknown>): CredentialStore {
  return {
    async admit({ jti, resource, catalogueVersion, proof, entry }) {
      const hour = hourOfToken(jti);
      const { rows } = await sql<{ alive: boolean; fresh: boolean; single: boolean }>`
        with living as materialized (
          select t.jti, t.session_id, t.call is not null as for_one_call
            from tokens t join sessions s on s.id = t.session_id
           where t.hour = ${hour} and t.jti = ${jti} and t.resource = ${resource} and ${TOKEN_LIVES}
             and (t.call is null or t.consumed_at is null)
             and exists (select from catalogue_versions v where v.active and v.version = ${catalogueVersion})
        ), spent as (
          insert into spent_jti (hour, key, token_id)
          select ${proof.hour}::integer, ${proof.key}::uuid, l.jti from living l
              on conflict do nothing
          returning key
        ), consumed as (
          update tokens t set consumed_at = now()
           where t.hour = ${hour} and t.jti = ${jti} and t.call is not null and t.consumed_at is null
             and exists (select from spent)
          returning t.jti
        ), admitted as (
          select l.jti, l.session_id from living l
           where exists (select from spent) and (not l.for_one_call or exists (select from consumed))
        ), recorded as (
          insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
          select ${entry.id}, ${entry.action}, ${entry.outcome}, ${entry.requestId ?? null}, ${entry.actor ?? null},
                 a.session_id, a.jti,
                 ${JSON.stringify(entry.details ?? {})}::jsonb || jsonb_build_object(
                   'catalogue', ${catalogueVersion}::integer, 'epoch', (select epoch from revocation_head))
            from admitted a
        )
        select exists (select from living) as alive, exists (select from spent) as fresh,
               exists (select from admitted) as single
      `.execute(database);
      return rows[0] ?? { alive: false, fresh: false, single: false };
    },

    async issue({ jti, entry }) {
      const { rows } = await sql<{ id: string }>`
        insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
        select ${entry.id}, ${entry.action}, ${entry.outcome}, ${entry.requestId ?? null}, ${entry.actor ?? null},
               t.session_id, t.jti,
               ${JSON.stringify(entry.details ?? {})}::jsonb
                 || jsonb_build_object('epoch', (select epoch from revocation_head))
          from tokens t join sessions s on s.id = t.session_id
         where t.hour = ${hourOfToken(jti)} and t.jti = ${jti} and ${TOKEN_LIVES}
        returning id
      `.execute(database);
      return rows.length === 1;
    },
  };
}

/** A token's partition is in its name. */
function hourOfToken(jti: string): number {
  const milliseconds = millisecondsOfIdentifier(jti);
  return milliseconds === null ? -1 : hourOf(milliseconds / 1000);
}
