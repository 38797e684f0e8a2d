import { type Kysely, sql } from 'kysely';
import type { AuditEntry } from './audit-entry.ts';
import { writableDetails, writableText } from './writable-details.ts';

export type AuditStore = {
  /** Appends all entries or none, in a transaction of its own. */
  append(entries: readonly AuditEntry[]): Promise<void>;
};

export function createAuditStore(database: Kysely<unknown>): AuditStore {
  return {
    async append(entries) {
      if (entries.length === 0) return;
      await sql`
        insert into audit_entries
          (id, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details)
        select id, action, outcome, reason, "requestId", actor, "sessionId", "tokenId",
               coalesce(repetitions, 1), coalesce(details, '{}')
          from json_to_recordset(${JSON.stringify(entries.map(writable))}::json) as entry
            (id text, action text, outcome text, reason text, "requestId" text, actor text, "sessionId" text,
             "tokenId" text, repetitions integer, details jsonb)
      `.execute(database);
    },
  };
}

/** One line that cannot be stored as it is must not take the others of its batch with it. */
function writable({ details, ...entry }: AuditEntry): AuditEntry {
  const members = Object.entries(entry).map(([name, value]) => [
    name,
    typeof value === 'string' ? writableText(value) : value,
  ]);
  return {
    ...(Object.fromEntries(members) as typeof entry),
    ...(details === undefined ? {} : { details: writableDetails(details) }),
  };
}
