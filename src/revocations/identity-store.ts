/**
 * Asked of every new connection (L25): is this server the one in which the ledger goes on? A promoted standby or a
 * restored copy is met by connecting to it; so nothing that a broker decides can rest on it, not even the first
 * statement after a failover.
 */
import type { ClientBase } from 'pg';
import { UnfitDatabaseError } from '../database/database-error.ts';
import { describeDistrust, type LedgerTrust } from './ledger-trust.ts';

const QUESTION = `
select h.system_identifier = i.system_identifier and h.timeline = i.timeline as same
  from revocation_head h cross join database_identity() i`;

/** @returns throws {@link UnfitDatabaseError} for a connection that leads elsewhere */
export function createIdentityCheck(
  trust: Pick<LedgerTrust, 'distrust'>,
): (client: ClientBase) => Promise<void> {
  return async (client) => {
    const { rows } = await client.query<{ same: boolean }>(QUESTION);
    if (rows[0]?.same === true) return;
    trust.distrust('replaced');
    throw new UnfitDatabaseError(`${describeDistrust('replaced')}.`);
  };
}

/** As `pg_control_system()` and the name of the log have them. */
export type ClusterIdentity = { system_identifier: string; timeline: number };

/** Of a database, and in which cluster its ledger goes on, as the head says. */
export type DatabaseIdentity = ClusterIdentity & { ledger: ClusterIdentity; same: boolean };

const IDENTITY = `
select i.system_identifier, i.timeline,
       json_build_object('system_identifier', h.system_identifier, 'timeline', h.timeline) as ledger,
       h.system_identifier = i.system_identifier and h.timeline = i.timeline as same
  from revocation_head h cross join database_identity() i`;

/** @throws {UnfitDatabaseError} when there is no ledger */
export async function readIdentity(client: ClientBase): Promise<DatabaseIdentity> {
  const { rows } = await client.query<DatabaseIdentity>(IDENTITY);
  if (rows[0] !== undefined) return rows[0];
  throw new UnfitDatabaseError(
    'The ledger of this database has no head: it is none of mayfly, or a broken one.',
  );
}
