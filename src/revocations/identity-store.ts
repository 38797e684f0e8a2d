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
