/**
 * The database as its owner, for one command. What the owner does takes the head of the ledger as what brokers do, so
 * it waits for a synchronous standby no longer than they (L2, L21).
 */
import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely';
import type { Log } from '../errors/log.ts';
import { createOnlooker } from './commit-wait.ts';
import { createPool } from './pool.ts';

export type OwnerDatabase = {
  /** Each statement is looked after while it commits. */
  kysely: Kysely<unknown>;
  /** False once the standby did not confirm something: it is committed here, and a failover now could lose it. */
  isReplicated(): boolean;
  close(): Promise<void>;
};

export function openOwner({
  url,
  applicationName,
  log,
}: {
  url: string;
  applicationName: string;
  log: Log;
}): OwnerDatabase {
  const pool = createPool({ url, size: 1, applicationName, log });
  const aside = createPool({ url, size: 1, applicationName: `${applicationName} onlooker`, log });
  const onlooker = createOnlooker({ aside, log });
  let isReplicated = true;

  async function connect(): Promise<PostgresPoolClient> {
    const client = await pool.connect();
    let areFit = true;
    const query = async (text: string, parameters: readonly unknown[]) => {
      const overseen = await onlooker.during(client, () => client.query(text, [...parameters]));
      areFit &&= overseen.isFit;
      isReplicated &&= overseen.replicated;
      if (overseen.outcome.status === 'rejected') throw overseen.outcome.reason;
      return overseen.outcome.value;
    };
    return {
      query: query as unknown as PostgresPoolClient['query'],
      release: (discard) => client.release(!areFit || discard === true),
    };
  }

  return {
    kysely: new Kysely({
      dialect: new PostgresDialect({ pool: { connect, end: async () => {}, options: {} } }),
    }),
    isReplicated: () => isReplicated,
    async close() {
      await Promise.all([pool.end(), aside.end()]);
    },
  };
}
