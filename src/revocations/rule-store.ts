/**
 * The rule of the ledger (rule.ts, L8) as SQL, for statements that have a token row `t` or a session row `s`. Wide
 * targets pass the sessions of operators by (L4). A property test holds both statements of the rule together.
 */
import { sql } from 'kysely';

/** Whether no entry kills token `t` of session `s`; whether it has expired is another question. */
export const TOKEN_UNREVOKED = sql<boolean>`(
  not exists (
    select from revocations v
     where v.releases is null
       and (v.epoch > t.epoch or (v.standing and v.released_epoch is null))
       and v.key in (values ('token:' || t.jti), ('session:' || s.id), ('agent:' || s.client_id),
                       ('subject:' || s.agent_id)
                     union all
                     select w.key
                       from (select 'action:' || a.name from string_to_table(t.scope, ' ') as a (name)
                             union all values ('zone:' || s.zone), ('resource:' || t.resource), ('all')) as w (key)
                      where not s.exempt_from_wide))
  and not exists (select from revocations v where v.key = 'signing-key:' || t.kid))`;

/** False when it expired or an entry kills it. */
export const TOKEN_LIVES = sql<boolean>`(t.expires_at > now() and ${TOKEN_UNREVOKED})`;

/** The first entry that ended session `s` (L7): nothing is minted in it any more. Null while there is none. */
export const SESSION_ENDED_BY = sql<string | null>`(
  select min(v.epoch) from revocations v
   where v.releases is null
     and (v.epoch > s.opened_epoch or (v.standing and v.released_epoch is null))
     and v.key = any (array['session:' || s.id, 'agent:' || s.client_id, 'subject:' || s.agent_id]
                      || case when not s.exempt_from_wide then array['zone:' || s.zone, 'all'] end))`;

export const SESSION_OPEN = sql<boolean>`(s.expires_at > now() and ${SESSION_ENDED_BY} is null)`;
