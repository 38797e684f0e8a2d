/** The kill switch of a running broker, and the receipts that it shares with every other revocation. */
import { createCitations } from './audit/cite-entry.ts';
import { createCosignatureStore } from './audit/cosignature-store.ts';
import { createLogReader } from './audit/entry-store.ts';
import { createStoredTree } from './audit/tree-store.ts';
import type { ActiveCatalogue } from './catalogue/active-catalogue.ts';
import type { Configuration } from './config/configuration.ts';
import { type CommitStatement, EMPTY_COMMIT } from './database/commit-wait.ts';
import type { Database } from './database/connections.ts';
import type { Pool } from './database/pool.ts';
import type { Log } from './errors/log.ts';
import { createConductor } from './kill-switch/conduct-drill.ts';
import { createDrillRoutes, type DrillRoutes } from './kill-switch/drill-routes.ts';
import { createDrillStore } from './kill-switch/drill-store.ts';
import { type DrillWatch, watchDrills } from './kill-switch/drill-watch.ts';
import { createKillSwitch } from './kill-switch/kill-switch.ts';
import {
  createKillSwitchRoutes,
  type KillSwitchRoutes,
  tellState,
} from './kill-switch/kill-switch-routes.ts';
import { createKillSwitchStore } from './kill-switch/kill-switch-store.ts';
import { createCanaryMinter } from './kill-switch/mint-canaries.ts';
import { createOperatorBound } from './kill-switch/operator-bound.ts';
import type { Ledger } from './ledger.ts';
import type { AfterRevocation } from './revocations/managed-changes.ts';
import { createReachStore } from './revocations/reach-store.ts';
import { createReceiptStore } from './revocations/receipt-store.ts';
import { createReceipts, type Receipts } from './revocations/receipts.ts';
import { createSingleFlight } from './revocations/single-flight.ts';
import { createOwnReceiptBound } from './sessions/own-receipt-bound.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';
import { repeat } from './time/repeat.ts';
import { createMintStore } from './tokens/mint-store.ts';
import { createTokenStore } from './tokens/token-store.ts';
import { LONGEST_LEASE_SECONDS } from './verifiers/lease-lengths.ts';

type Parts = {
  configuration: Configuration;
  catalogue: ActiveCatalogue;
  database: Database;
  ring: KeyRing;
  ledger: Ledger;
  log: Log;
  clock: Clock;
};

/** @param commit on connections that are everybody's: nobody who reads stands in front of who kills (L2) */
export function buildSwitch(parts: Parts, commit: CommitStatement): KillSwitchRoutes {
  const { catalogue, database, ledger, clock } = parts;
  const { killSwitch: onReserved, killSwitchPool, operatorPool, kysely } = database;
  const store = createKillSwitchStore({ killSwitch: onReserved, pool: operatorPool, clock });
  // On the connections that are kept for it: what comes after a kill does not wait behind what made it necessary.
  const receipts = buildReceipts(parts, { pool: killSwitchPool, commit: onReserved });
  const reading = buildReceipts(parts, { pool: operatorPool, commit });
  const killSwitch = createKillSwitch({
    store,
    receipts,
    stateOf: reading.stateOf,
    reach: createReachStore(kysely),
    catalogue: catalogue.catalogue,
    announce: ledger.announcer.announce,
  });
  const cite = createCitations({
    reader: createLogReader(operatorPool),
    tree: createStoredTree(operatorPool),
    newestCheckpoint: createCosignatureStore(operatorPool).newestCosigned,
  });
  return createKillSwitchRoutes({ killSwitch, store, receipts, cite, admit: createOperatorBound({ clock }) });
}

/** Brokers are not quite together: which of them is first, runs it. */
const PAUSE_SHARE = 0.8;

/** Shorter than for a kill: who revokes one session may have many more to revoke. */
const WAIT_MILLISECONDS = 1_000;

/** What was revoked otherwise gets the same receipt, on connections that are everybody's. */
export function buildAfterRevocation(
  parts: Parts,
  commit: CommitStatement,
): { byOperator: AfterRevocation; byItself: AfterRevocation } {
  const { database, ledger, clock } = parts;
  const receipts = buildReceipts(parts, { pool: database.pool, commit });
  const getsReceipt = createOwnReceiptBound({ clock });
  const after =
    (withinMilliseconds: number): AfterRevocation =>
    async ({ epoch, replicated }) => {
      ledger.announcer.announce();
      const settled = await receipts.settle(epoch, { replicated, withinMilliseconds });
      return {
        status: settled.complete ? 200 : 202,
        members: { ...tellState(settled), receipt: receipts.sign(settled) },
      };
    };
  const atOnce = after(0);
  return {
    byOperator: after(WAIT_MILLISECONDS),
    /** Whoever goes is not kept waiting, and no flood of them makes anybody wait. */
    async byItself(entry) {
      if (getsReceipt(entry.actor)) return atOnce(entry);
      ledger.announcer.announce();
      return { status: 202, members: { replicated: entry.replicated, complete: false } };
    },
  };
}

function buildReceipts(
  { configuration, ring, clock }: Parts,
  { pool, commit }: { pool: Pool; commit: CommitStatement },
): Receipts {
  return createReceipts({
    issuer: configuration.issuer,
    store: createReceiptStore(pool, { longestLeaseSeconds: LONGEST_LEASE_SECONDS }),
    signer: ring.ledgerSigner,
    confirm: createSingleFlight(async () => (await commit(EMPTY_COMMIT)).replicated),
    clock,
  });
}

export type DrillParts = { watch: DrillWatch; routes: DrillRoutes; close(): Promise<void> };

/** Runs drills on schedule: every broker tries, the database lets one of them. */
export function buildDrills(parts: Parts): DrillParts {
  const { configuration, catalogue, database, ledger, ring, log, clock } = parts;
  const { issuer, drillSeconds } = configuration;
  const store = createDrillStore(database.pool);
  const watch = watchDrills({ store, everySeconds: drillSeconds, signerOf: ring.tokenSignerOf, log, clock });
  const tokens = createTokenStore(database.kysely);
  const conductor = createConductor({
    store,
    mint: createCanaryMinter({
      issuer,
      catalogue,
      // Not where operators' mints are: a drill never stands before a person in an emergency (L2).
      store: createMintStore(database.mintPool),
      signer: ring.tokenSigner,
      clock,
    }),
    isAlive: async (jti) => (await tokens.find(jti))?.alive === true,
    canMint: () => catalogue.applied() !== null,
    announce: ledger.announcer.announce,
    onPublished: watch.look,
    log,
    clock,
  });
  const pauseSeconds = Math.floor(drillSeconds * PAUSE_SHARE);
  const schedule =
    drillSeconds === 0
      ? null
      : repeat({
          everyMilliseconds: drillSeconds * 1_000,
          task: async () => {
            if (catalogue.applied() === null) return; // another broker does; if none can, it is missed
            await conductor.conduct({ by: 'schedule', pauseSeconds });
          },
          onFailure: (error) => log.error({ err: error }, 'a drill of the kill switch could not begin'),
        });
  return {
    watch,
    routes: createDrillRoutes({ store, watch, conductor, everySeconds: drillSeconds }),
    async close() {
      await schedule?.stop();
      await watch.close();
    },
  };
}
