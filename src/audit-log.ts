/** The audit log of a running broker: kept by one of them at a time, read by all. */
import { askWitnesses, type WitnessWatch } from './audit/ask-witnesses.ts';
import { type AuditRoutes, createAuditRoutes } from './audit/audit-routes.ts';
import { createCosignatureStore } from './audit/cosignature-store.ts';
import { createDoubtStore } from './audit/doubt-store.ts';
import { createLogReader } from './audit/entry-store.ts';
import { createExaminationProgressStore } from './audit/examination-progress-store.ts';
import { createExaminationStore } from './audit/examination-store.ts';
import { examineDaily } from './audit/examine-daily.ts';
import { createLogExaminer } from './audit/examine-log.ts';
import { type Connection, type Hold, keepLog } from './audit/keep-log.ts';
import { logKeyOf, originOf } from './audit/log-key.ts';
import { createLogStateStore } from './audit/log-state-store.ts';
import { createLogStore } from './audit/log-store.ts';
import { EMPTY_ROOT } from './audit/merkle-tree.ts';
import { createStoredTree } from './audit/tree-store.ts';
import { parseVerifierKey, verifierKeyOf } from './audit/verifier-key.ts';
import { type LogWatch, watchLog } from './audit/watch-log.ts';
import type { WitnessSetting } from './config/read-witnesses.ts';
import type { Database } from './database/connections.ts';
import type { Log } from './errors/log.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';

export type AuditLog = {
  witnesses: WitnessWatch;
  watch: LogWatch;
  routes: AuditRoutes;
  close(): Promise<void>;
};

/** @param options.connect a connection of its own, whose end is the end of its lock */
export function openAuditLog(options: {
  issuer: string;
  connect: () => Promise<Connection>;
  database: Database;
  ring: KeyRing;
  witnesses: readonly WitnessSetting[];
  log: Log;
  clock: Clock;
  onKept: () => void;
  onUndescribed: (line: { id: string; action: string }) => void;
}): AuditLog {
  const { issuer, connect, database, ring, log, clock, onKept, onUndescribed } = options;
  const asked = options.witnesses.map(({ url, vkey }) => ({ url, key: parseVerifierKey(vkey) }));
  const origin = originOf(issuer);
  const store = createLogStore(database.pool);
  const reader = createLogReader(database.pool);
  const tree = createStoredTree(database.pool);
  const cosignatures = createCosignatureStore(database.pool);
  const key = () => logKeyOf(origin, ring.logSigners());
  const maySign = (hold: Hold) => witnesses.haveSpoken(hold);
  const keeper = keepLog({ connect, key, log, clock, maySign, onKept, onUndescribed });
  const witnesses = askWitnesses({
    witnesses: asked,
    hold: keeper.hold,
    store: cosignatures,
    doubts: createDoubtStore({ pool: database.pool, clock }),
    tree,
    emptyHead: () => ({ size: 0, note: key().sign({ size: 0, root: EMPTY_ROOT }) }),
    log,
    clock,
  });
  async function keys() {
    const known = await ring.logKeys();
    return known.map(({ kid, publicKey }) => ({
      kid,
      key: verifierKeyOf({ name: origin, kind: 'log', publicKey }),
    }));
  }
  const watch = watchLog({ keeper, readState: createLogStateStore(database.pool).read, clock });
  const examination = examineDaily({
    keeps: () => keeper.hold() !== null,
    progress: createExaminationProgressStore(database.pool),
    examiner: createLogExaminer({
      store: createExaminationStore(database.pool),
      origin,
      keys: async () => (await keys()).map(({ key }) => key),
    }),
    log,
    clock,
  });
  return {
    witnesses,
    watch,
    routes: createAuditRoutes({
      origin,
      reader,
      tree,
      newestCheckpoint: cosignatures.newestCosigned,
      newestCosignedBy: cosignatures.newestCosignedBy,
      witnesses: asked.map(({ key: { name } }) => name),
      handOvers: store.handOvers,
      keys: async () => (await keys()).map(({ kid, key: { vkey } }) => ({ kid, vkey })),
    }),
    async close() {
      await examination.close();
      await witnesses.close();
      await keeper.close();
    },
  };
}
