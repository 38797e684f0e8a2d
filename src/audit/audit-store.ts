import { type Kysely, sql } from 'kysely';
import type { AuditEntry } from './audit-entry.ts';
import { faultOfDetails } from './entry-schemas.ts';
import { writableDetails, writableText } from './writable-details.ts';

export type AuditStore = {
  /** Appends all entries or none, in a transaction of its own. */
  append(entries: readonly AuditEntry[]): Promise<void>;
};

/** @param options.onUndescribed told of entries whose details were left out, since nobody described such details */
export function createAuditStore(
  database: Kysely<unknown>,
  { onUndescribed = () => {} }: { onUndescribed?: (entry: AuditEntry) => void } = {},
): AuditStore {
  /** Whatever nobody thought about might be a secret: it stays out, and the rest of the entry is written. */
  function described(entry: AuditEntry): AuditEntry {
    const { action, details = {} } = entry;
    if (faultOfDetails(action, details) === null) return entry;
    onUndescribed(entry);
    return { ...entry, details: { unwritable: 'undescribed' } };
  }

  return {
    async append(entries) {
      if (entries.length === 0) return;
      await sql`
        insert into audit_entries
          (id, action, outcome, reason, request_id, actor, session_id, token_id, repetitions, details)
        select id, action, outcome, reason, "requestId", actor, "sessionId", "tokenId",
               coalesce(repetitions, 1), coalesce(details, '{}')
          from json_to_recordset(${JSON.stringify(entries.map((entry) => described(writable(entry))))}::json) as entry
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
