/** What a broker does by itself, again and again: look at the catalogue, write counts, make and drop partitions. */
import type { RefusalRecorder } from './audit/refusal-recorder.ts';
import type { ActiveCatalogue } from './catalogue/active-catalogue.ts';
import { endAbandonedWaits } from './database/abandoned-waits.ts';
import type { Database } from './database/connections.ts';
import {
  dropAuditDays,
  dropPartitions,
  keepAuditDays,
  makePartitions,
  pruneAwsCredentials,
  pruneDrills,
  pruneIdempotencyKeys,
  pruneRevocations,
  pruneSessions,
  pruneVerifiers,
  raiseLedgerFloor,
  recordLate,
  thinCheckpoints,
} from './database/upkeep.ts';
import type { Log } from './errors/log.ts';
import { createReceiptStore } from './revocations/receipt-store.ts';
import { repeat } from './time/repeat.ts';
import { LONGEST_LEASE_SECONDS } from './verifiers/lease-lengths.ts';

const CATALOGUE_MILLISECONDS = 2_000;
const FOLDING_MILLISECONDS = 10_000;
const FLOOR_MILLISECONDS = 60_000;
const PARTITION_MILLISECONDS = 300_000;
const RECEIPT_MILLISECONDS = 30_000;
const WAIT_MILLISECONDS = 2_000;

export function startHousekeeping(options: {
  catalogue: ActiveCatalogue;
  recorder: RefusalRecorder;
  database: Database;
  tokenRetentionHours: number;
  auditRetentionDays: number;
  log: Log;
}): { stop(): Promise<void> } {
  const receipts = createReceiptStore(options.database.pool, { longestLeaseSeconds: LONGEST_LEASE_SECONDS });
  const { catalogue, recorder, database, tokenRetentionHours, auditRetentionDays, log } = options;
  const chore = (name: string, everyMilliseconds: number, task: () => Promise<void>) =>
    repeat({
      everyMilliseconds,
      task,
      onFailure: (error) => log.warn({ err: error, chore: name }, 'a chore failed and will be tried again'),
    });

  const chores = [
    chore('catalogue', CATALOGUE_MILLISECONDS, catalogue.refresh),
    chore('refusals', FOLDING_MILLISECONDS, () => recorder.writeFolded()),
    chore('making partitions', PARTITION_MILLISECONDS, async () => {
      const made = await makePartitions(database.kysely);
      if (made > 0) log.info({ made }, 'partitions were made');
    }),
    chore('dropping partitions', PARTITION_MILLISECONDS, async () => {
      const dropped = await dropPartitions(database.kysely, { tokenHoursKept: tokenRetentionHours });
      if (dropped.length > 0) log.info({ dropped }, 'partitions were dropped');
    }),
    chore('dropping days of the record', PARTITION_MILLISECONDS, async () => {
      const daysKept = await keepAuditDays(database.kysely, auditRetentionDays);
      if (daysKept > auditRetentionDays) {
        log.warn({ daysKept, auditRetentionDays }, 'the record is kept for longer than this broker was told');
      }
      const dropped = await dropAuditDays(database.kysely, { daysKept });
      if (dropped.length > 0) log.info({ dropped }, 'days of the record were dropped; their hashes stay');
    }),
    chore('signed heads of the record', PARTITION_MILLISECONDS, async () => {
      const removed = await thinCheckpoints(database.kysely);
      if (removed > 0) log.info({ removed }, 'old heads of the audit log were thinned to one an hour');
    }),
    chore('the floor of the ledger', FLOOR_MILLISECONDS, async () => {
      await raiseLedgerFloor(database.kysely);
    }),
    chore('the ledger', PARTITION_MILLISECONDS, async () => {
      const pruned = await pruneRevocations(database.kysely);
      if (pruned > 0) log.info({ pruned }, 'revocations that can stop nothing any more were forgotten');
    }),
    chore('verifiers', PARTITION_MILLISECONDS, async () => {
      const pruned = await pruneVerifiers(database.kysely);
      if (pruned > 0) log.info({ pruned }, 'verifiers that are long gone were forgotten');
    }),
    chore('sessions', PARTITION_MILLISECONDS, async () => {
      const pruned = await pruneSessions(database.kysely);
      if (pruned > 0) log.info({ pruned }, 'sessions that ended long ago were forgotten');
    }),
    chore('late lines', FOLDING_MILLISECONDS, async () => {
      const made = await recordLate(database.kysely);
      if (made > 0) log.warn({ made }, 'lines of the record were made late');
    }),
    chore('waits for a standby', WAIT_MILLISECONDS, async () => {
      const ended = await endAbandonedWaits(database.operatorPool);
      if (ended > 0) log.warn({ ended }, 'a synchronous standby does not answer; waits were ended');
    }),
    chore('AWS credentials', PARTITION_MILLISECONDS, async () => {
      await pruneAwsCredentials(database.kysely);
    }),
    chore('drills', PARTITION_MILLISECONDS, () => pruneDrills(database.kysely)),
    chore('receipts', RECEIPT_MILLISECONDS, receipts.settleOutstanding),
    chore('idempotency keys', PARTITION_MILLISECONDS, async () => {
      await pruneIdempotencyKeys(database.kysely);
    }),
  ];

  return {
    async stop() {
      await Promise.all(chores.map((each) => each.stop()));
    },
  };
}
