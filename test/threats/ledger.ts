/** What the database holds of all this. */
import pg from 'pg';
import type { TestWorld } from '../test-broker.ts';
import { NO_ROWS, type Rows } from './outcomes.ts';
import type { Answer } from './raw-request.ts';

export type Entry = {
  outcome: string;
  action: string;
  reason: string | null;
  actor: string | null;
  details: Record<string, unknown>;
};

/** What the database holds, asked so often that the statements are prepared: each is planned over all partitions. */
export async function openLedger(world: TestWorld) {
  const client = new pg.Client(world.database.ownerUrl);
  await client.connect();
  return {
    async countRows(): Promise<Rows> {
      const { rows } = await client.query<Rows>({ name: 'count', text: COUNT_ROWS });
      return rows[0] ?? NO_ROWS;
    },
    /** What the record says of the request that this answers. */
    async entriesOf({ headers }: Answer): Promise<Entry[]> {
      const { rows } = await client.query<Entry>({
        name: 'entries',
        text: 'select * from audit_entries where request_id = $1',
        values: [headers.get('request-id')?.[0]],
      });
      return rows;
    },
    close: () => client.end(),
  };
}

export type Ledger = Awaited<ReturnType<typeof openLedger>>;

const COUNT_ROWS = `
  select minted.tokens, minted.consumed, (select count(*)::int from spent_jti) as spent,
         (select count(*)::int from sessions) as sessions, (select count(*)::int from revocations) as revocations
    from (select count(*)::int as tokens, count(consumed_at)::int as consumed from tokens) as minted`;
