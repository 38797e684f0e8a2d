/** A log as its tables hold it, read with nothing of the broker's: what an auditor with a copy of them would see. */
import type { ClientBase } from 'pg';
import { entryDocument, leafOfDocument } from '../../src/audit/entry-document.ts';
import { ENTRY_COLUMNS } from '../../src/audit/log-store.ts';
import type { WholeLog } from '../../src/audit/verify-log.ts';

/** Whatever the tables say, sense or not; the newest signed head of them. */
export async function readStoredLog(client: Pick<ClientBase, 'query'>): Promise<WholeLog> {
  const { rows } = await client.query(
    `select l.hash, ${ENTRY_COLUMNS}
       from audit_leaves l left join audit_entries e on e.day = l.day and e.id = l.entry_id order by l.leaf_index`,
  );
  const { rows: heads } = await client.query(
    'select note from audit_checkpoints order by audit_checkpoints.size desc limit 1',
  );
  return {
    entries: rows.map((row) => (row.id === null ? null : leafOfDocument(entryDocument(row)).bytes)),
    leaves: rows.map(({ hash }) => hash),
    checkpoint: heads[0]?.note ?? '',
  };
}
