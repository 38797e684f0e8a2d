/**
 * The sinks of a running broker: each a loop of its own, on connections of their own, so that nothing that a receiver
 * does or leaves undone is felt by whoever asks for a token. Without sinks there is nothing of it.
 *
 * A stop is prompt: what has its place in the log is sent if the receiver takes it at once. The last lines of this
 * broker (refusals that were folded, what other brokers do now) are sent by the next one, which goes on at the cursor.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { createLogReader } from './audit/entry-store.ts';
import { createLogStore } from './audit/log-store.ts';
import { createPool, openKysely, type PoolOptions } from './database/pool.ts';
import type { Log } from './errors/log.ts';
import { createLoggedEntries } from './sinks/logged-entries.ts';
import { openReceiver } from './sinks/open-receiver.ts';
import { runSink } from './sinks/run-sink.ts';
import type { SinkDeclaration } from './sinks/sink-declaration.ts';
import type { LogReader } from './sinks/sink-entry.ts';
import { readSinkLags, type SinkLag } from './sinks/sink-lags.ts';
import type { SinkMetrics } from './sinks/sink-metrics.ts';
import { createSinkStore, type SinkStore } from './sinks/sink-store.ts';
import type { Clock } from './time/clock.ts';

export type AuditSinks = {
  /** A signed head covers more than before. */
  wake(): void;
  /** What readiness says of it. */
  describe(): Promise<string>;
  /** Of each declared sink; asks the database once a second at most. */
  lags(): Promise<SinkLag[]>;
  close(): Promise<void>;
};

const CONNECTIONS = 2;
const REMEMBERED_MILLISECONDS = 1_000;
const LATE_SECONDS = 60;

export function startAuditSinks(options: {
  declarations: readonly SinkDeclaration[];
  connect: Pick<PoolOptions, 'url' | 'log' | 'admit'>;
  log: Log;
  clock: Clock;
  metrics: SinkMetrics;
}): AuditSinks {
  const { declarations, connect, log, clock, metrics } = options;
  if (declarations.length === 0) return NO_SINKS;
  const { store, size, newReader, close } = openSinkLog(connect);
  const holder = `${hostname()}/${randomBytes(6).toString('hex')}`;
  const running = declarations.map((declaration) =>
    runSink({
      name: declaration.name,
      receiver: openReceiver(declaration, { clock, hostName: hostname() }),
      reader: newReader(),
      cursors: store,
      holder,
      logSize: size,
      clock,
      log,
      metrics,
    }),
  );
  const names = declarations.map(({ name }) => name);
  const reader = newReader();
  let remembered: { at: number; lags: Promise<SinkLag[]> } | null = null;

  function lags(): Promise<SinkLag[]> {
    const now = clock.monotonicMilliseconds();
    if (remembered === null || now - remembered.at > REMEMBERED_MILLISECONDS) {
      remembered = { at: now, lags: readSinkLags({ names, store, reader, size, clock }) };
    }
    return remembered.lags;
  }

  return {
    wake() {
      for (const sink of running) sink.wake();
    },
    describe: () => lags().then(inWords, () => 'not known'),
    lags,
    async close() {
      await Promise.all(running.map((sink) => sink.stop()));
      await close();
    },
  };
}

const NO_SINKS: AuditSinks = {
  wake() {},
  describe: async () => 'none is declared',
  lags: async () => [],
  async close() {},
};

/** Names only: what a receiver answers is in the log and in `mayfly audit sink list`, not for everybody. */
function inWords(lags: readonly SinkLag[]): string {
  const late = lags.filter(({ state, seconds }) => state?.failingSince || seconds > LATE_SECONDS);
  if (late.length === 0) return `${lags.length} up to date`;
  return `${late.length} of ${lags.length} behind: ${late.map(({ name }) => name).join(', ')}`;
}

/** The log and the cursors, on connections that nothing else uses. A failover may forget how far a sink had got. */
export function openSinkLog(connect: Pick<PoolOptions, 'url' | 'log' | 'admit'>): {
  store: SinkStore;
  size: () => Promise<number>;
  /** Each remembers where texts are gone, so every sink has its own. */
  newReader: () => LogReader;
  close: () => Promise<void>;
} {
  const pool = createPool({
    ...connect,
    size: CONNECTIONS,
    applicationName: 'mayfly audit sinks',
    commitLocally: true,
  });
  const kysely = openKysely<unknown>(pool);
  const { signedSoFar, readHead } = createLogStore(pool);
  const { readFrom } = createLogReader(pool);
  /** While the log is doubted nothing is signed, and whoever watches it has to see the more of it. */
  async function size(): Promise<number> {
    const { newest, isDoubted } = await signedSoFar();
    return isDoubted ? (await readHead()).size : (newest?.size ?? 0);
  }
  return {
    store: createSinkStore(kysely),
    size,
    newReader: () => createLoggedEntries({ readFrom, size }),
    close: () => kysely.destroy(),
  };
}
