/**
 * What the database says to a request for AWS credentials, before AWS is asked and after it answered. Each statement
 * applies the rule of the ledger in its own snapshot (L23), so that nobody gets what was asked for before it was stopped.
 */
import { type Kysely, sql } from 'kysely';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { AwsAccess } from '../catalogue/aws-access.ts';
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
    /** Whose credentials it is let in for: from now on whatever kills the token counts them. */
    role: Pick<AwsAccess, 'roleArn' | 'denyWhenRevoked'>;
    entry: AuditEntry;
  }): Promise<{ alive: boolean; fresh: boolean; single: boolean }>;
  /**
   * Records that credentials exist, unless the token was killed or expired by now: then false, and nobody gets them.
   * It begins after the row of `admit` was committed; so whoever looks for credentials after an entry that this one did
   * not see finds that row.
   *
   * @param issue.askedBy entry of `admit`
   */
  issue(issue: { jti: string; askedBy: string; entry: AuditEntry }): Promise<boolean>;
  /** Nobody got what was asked for. @param askedBy entry of `admit` */
  withdraw(askedBy: string): Promise<void>;
};

export function createCredentialStore(database: Kysely<unknown>): CredentialStore {
  return {
    async admit({ jti, resource, catalogueVersion, proof, role, entry }) {
      const hour = hourOfToken(jti);
      const { rows } = await sql<{ alive: boolean; fresh: boolean; single: boolean }>`
        with living as materialized (
          select t.jti, t.session_id, t.call is not null as for_one_call, t.epoch, t.expires_at,
                 array['token:' || t.jti, 'session:' || s.id, 'agent:' || s.client_id, 'subject:' || s.agent_id,
                       'signing-key:' || t.kid]
                   || case when not s.exempt_from_wide then
                        array['zone:' || s.zone, 'resource:' || t.resource, 'all']
                          || array(select 'action:' || a.name from string_to_table(t.scope, ' ') as a (name))
                      end as keys
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
          select l.jti, l.session_id, l.epoch, l.keys, l.expires_at from living l
           where exists (select from spent) and (not l.for_one_call or exists (select from consumed))
        ), recorded as (
          insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
          select ${entry.id}, ${entry.action}, ${entry.outcome}, ${entry.requestId ?? null}, ${entry.actor ?? null},
                 a.session_id, a.jti,
                 ${JSON.stringify(entry.details ?? {})}::jsonb || jsonb_build_object(
                   'catalogue', ${catalogueVersion}::integer, 'epoch', (select epoch from revocation_head))
            from admitted a
        ), awaited as (
          insert into aws_credentials (id, token_id, epoch, keys, role_arn, expires_at, deny)
          select ${entry.id}, a.jti, a.epoch, a.keys, ${role.roleArn}, a.expires_at,
                 ${role.denyWhenRevoked ?? false}::boolean
            from admitted a
        )
        select exists (select from living) as alive, exists (select from spent) as fresh,
               exists (select from admitted) as single
      `.execute(database);
      return rows[0] ?? { alive: false, fresh: false, single: false };
    },

    async issue({ jti, askedBy, entry }) {
      const { rows } = await sql<{ issued: boolean }>`
        with issued as (
          insert into audit_entries (id, action, outcome, request_id, actor, session_id, token_id, details)
          select ${entry.id}, ${entry.action}, ${entry.outcome}, ${entry.requestId ?? null}, ${entry.actor ?? null},
                 t.session_id, t.jti,
                 ${JSON.stringify(entry.details ?? {})}::jsonb
                   || jsonb_build_object('epoch', (select epoch from revocation_head))
            from tokens t join sessions s on s.id = t.session_id
           where t.hour = ${hourOfToken(jti)} and t.jti = ${jti} and ${TOKEN_LIVES}
          returning id
        ), withdrawn as (
          update aws_credentials c set withdrawn_at = now() where c.id = ${askedBy} and not exists (select from issued)
        )
        select exists (select from issued) as issued
      `.execute(database);
      return rows[0]?.issued ?? false;
    },

    async withdraw(askedBy) {
      await sql`update aws_credentials c set withdrawn_at = now() where c.id = ${askedBy}`.execute(database);
    },
  };
}

/** A token's partition is in its name. */
function hourOfToken(jti: string): number {
  const milliseconds = millisecondsOfIdentifier(jti);
  return milliseconds === null ? -1 : hourOf(milliseconds / 1000);
}
