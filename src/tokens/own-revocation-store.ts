/**
 * Revocations that clients make of their own tokens, many in one statement: assertions are spent, the ledger gets its
 * entries, the record its lines. So of one broker there is never more than one of these at the head of the ledger,
 * however many clients revoke at once, and whoever kills waits behind that one (L2). A standby that does not answer is
 * waited for a bounded time, and its silence is told (L21).
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { CommitStatement } from '../database/commit-wait.ts';
import type { SpentKey } from '../dpop/replay-key.ts';
import { spendStatement } from './token-store.ts';

export type OwnRevocation = {
  /** `aud_…` of the line that goes with the ledger's entry. */
  lineId: string;
  /** `rev_…`. */
  entryId: string;
  jti: string;
  assertion: SpentKey;
  reason: string;
  actor: string;
  requestId: string;
  /** Address that it came from. */
  source: string;
};

/** `replicated`: whether the standby confirmed this commit, and so every one before it. */
export type Spent = { fresh: boolean; replicated: boolean };

export type OwnRevocationStore = {
  /** @returns for each whether its assertion was fresh; of one that was not, nothing was revoked */
  append(revocations: readonly OwnRevocation[]): Promise<Spent[]>;
  /** Where there is nothing to revoke: the assertion is spent and recorded all the same. */
  spend(spending: { assertion: SpentKey; entry: AuditEntry }): Promise<Spent>;
};

export function createOwnRevocationStore(options: {
  database: Kysely<unknown>;
  commit: CommitStatement;
}): OwnRevocationStore {
  function commit<Row extends object>(statement: RawBuilder<Row>) {
    const { sql: text, parameters } = statement.compile(options.database);
    return options.commit<Row>({ text, values: [...parameters] });
  }

  return {
    async append(revocations) {
      const { rows, replicated } = await commit(sql<{ lineId: string }>`
        with request as materialized (
          select * from json_to_recordset(${JSON.stringify(revocations.map(rowOf))}::json) as r (
            hour integer, key uuid, line text, entry text, jti text, reason text, actor text, request_id text,
            source text)
        ), spent as (
          insert into spent_jti (hour, key, token_id)
          select r.hour, r.key, r.line from request r order by r.hour, r.key
              on conflict do nothing
          returning token_id
        ), due as materialized (
          select r.* from request r join spent p on p.token_id = r.line
        ), revoked as materialized (
          select d.line, a.epoch
            from (select * from due order by entry) as d
           cross join lateral (select set_config('mayfly.source', d.source, true) as source) as asked
           cross join lateral append_revocation(d.entry, 'token', d.jti, false, null, d.reason, d.actor, d.line,
                                                case when asked.source is not null then d.request_id end) as a
        )
        select v.line as "lineId" from revoked v
      `);
      const done = new Set(rows.map(({ lineId }) => lineId));
      return revocations.map(({ lineId }) => ({ fresh: done.has(lineId), replicated }));
    },

    async spend(spending) {
      const { rows, replicated } = await commit(spendStatement(spending));
      return { fresh: rows[0]?.fresh === true, replicated };
    },
  };
}

function rowOf({ assertion, lineId, entryId, requestId, ...same }: OwnRevocation) {
  return {
    ...same,
    ...assertion,
    line: lineId,
    entry: entryId,
    request_id: requestId,
  };
}
