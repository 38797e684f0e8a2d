/**
 * Proofs that resource servers have seen, in the table of everything that is good once. Many questions share a
 * statement; a row's own name says which of them wrote it, so of two that ask for one proof, in one statement or at two
 * brokers, exactly one is told that it was first.
 */
import type { Pool } from 'pg';
import { isRetryable } from '../database/database-error.ts';
import { runStatement } from '../database/transaction.ts';
import type { SpentKey } from '../dpop/replay-key.ts';

export type ProofsToSpend = {
  /** `aud_…` of the line that says who asked. */
  lineId: string;
  assertion: SpentKey;
  proofs: readonly SpentKey[];
  actor: string;
  requestId: string;
  /** Address that asked. */
  source: string;
};

export type SpentProofsOutcome = {
  /** False when the assertion was used before; then nothing was written. */
  authentic: boolean;
  /** For each proof whether it was written down by this question. */
  fresh: boolean[];
};

export type ProofStore = {
  /** One statement, committed by itself. @returns in the order given */
  spend(questions: readonly ProofsToSpend[]): Promise<SpentProofsOutcome[]>;
};

/*
 * Assertions first, all of them, then proofs, each sorted: two brokers' statements wait for each other and never in a
 * circle. A repeated assertion brings no proof with it.
 */
const SPEND = {
  name: 'proofs_spend',
  text: `
with question as materialized (
  select q.line, q.hour, q.key, q.actor, q.request_id, q.source
    from json_to_recordset($1::json) as q (line text, hour integer, key uuid, actor text, request_id text, source text)
), authentic as (
  insert into spent_jti (hour, key, token_id)
  select q.hour, q.key, q.line from question q order by q.hour, q.key, q.line
      on conflict do nothing
  returning token_id as line
), asked as materialized (
  select p.line, p.name, p.hour, p.key
    from json_to_recordset($2::json) as p (line text, name text, hour integer, key uuid)
    join authentic a on a.line = p.line
), spent as (
  insert into spent_jti (hour, key, token_id)
  select a.hour, a.key, a.name from asked a order by a.hour, a.key, a.name
      on conflict do nothing
  returning token_id as name
), recorded as (
  insert into audit_entries (id, action, outcome, request_id, actor, details)
  select q.line, 'proofs.spent', 'allowed', q.request_id, q.actor,
         jsonb_build_object('source', q.source,
                            'asked', (select count(*) from asked a where a.line = q.line),
                            'fresh', (select count(*) from asked a join spent s on s.name = a.name
                                       where a.line = q.line))
    from question q join authentic a on a.line = q.line
)
select line as name from authentic union all select name from spent`,
};

const MAX_ATTEMPTS = 3;

export function createProofStore(pool: Pool): ProofStore {
  async function write(questions: readonly ProofsToSpend[]): Promise<Set<string>> {
    const values = [JSON.stringify(questions.map(questionRow)), JSON.stringify(questions.flatMap(proofRows))];
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { rows } = await runStatement<{ name: string }>(pool, { ...SPEND, values });
        return new Set(rows.map(({ name }) => name));
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  return {
    async spend(questions) {
      const written = await write(questions);
      return questions.map(({ lineId, proofs }) => ({
        authentic: written.has(lineId),
        fresh: proofs.map((_, index) => written.has(nameOf(lineId, index))),
      }));
    },
  };
}

function nameOf(lineId: string, index: number): string {
  return `${lineId} ${index}`;
}

function questionRow({ lineId, assertion, actor, requestId, source }: ProofsToSpend) {
  return { line: lineId, ...assertion, actor, request_id: requestId, source };
}

function proofRows({ lineId, proofs }: ProofsToSpend) {
  return proofs.map((proof, index) => ({ line: lineId, name: nameOf(lineId, index), ...proof }));
}
