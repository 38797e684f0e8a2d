/** The audit log of a running broker: kept by one of them at a time, read by all. */
import { type AuditRoutes, createAuditRoutes } from './audit/audit-routes.ts';
import { createLogReader, type LogReader } from './audit/entry-store.ts';
import { type Connection, keepLog, type LogKeeper } from './audit/keep-log.ts';
import { logKeyOf, originOf } from './audit/log-key.ts';
import { createLogStore } from './audit/log-store.ts';
import { createStoredTree } from './audit/tree-store.ts';
import { verifierKeyOf } from './audit/verifier-key.ts';
import type { Database } from './database/connections.ts';
import type { Log } from './errors/log.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';

export type AuditLog = {
  origin: string;
  keeper: LogKeeper;
  reader: LogReader;
  routes: AuditRoutes;
  close(): Promise<void>;
};

/** @param options.connect a connection of its own, whose end is the end of its lock */
export function openAuditLog(options: {
  issuer: string;
  connect: () => Promise<Connection>;
  database: Database;
  ring: KeyRing;
  log: Log;
  clock: Clock;
  onKept: () => void;
}): AuditLog {
  const { issuer, connect, database, ring, log, clock, onKept } = options;
  const origin = originOf(issuer);
  const store = createLogStore(database.pool);
  const reader = createLogReader(database.pool);
  const keeper = keepLog({ connect, key: () => logKeyOf(origin, ring.logSigners()), log, clock, onKept });
  return {
    origin,
    keeper,
    reader,
    routes: createAuditRoutes({
      origin,
      reader,
      tree: createStoredTree(database.pool),
      newestCheckpoint: store.newestCheckpoint,
      handOvers: store.handOvers,
      async keys() {
        const keys = await ring.logKeys();
        return keys.map(({ kid, publicKey }) => ({
          kid,
          vkey: verifierKeyOf({ name: origin, kind: 'log', publicKey }).vkey,
        }));
      },
    }),
    close: keeper.close,
  };
}
