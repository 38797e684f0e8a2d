/**
 * Sessions as they come and go: each once when it is first seen, and again whenever its state is another one. It
 * asks again and again, so it sees what a revocation did whoever made it, and misses sessions that came and went
 * between two looks.
 */
import { CommandFailure, EXIT, fail } from './failure.ts';
import { pagesOf } from './list-pages.ts';
import type { Json, OperatorClient } from './operator-client.ts';

export type SessionWatch = {
  client: OperatorClient;
  /** One session; or else all that are open and match. */
  id: string | undefined;
  filters: Readonly<Record<string, string>>;
  /** Ends when nothing that is watched is open any more. */
  untilEnded: boolean;
  pause: () => Promise<void>;
  /** Told once for each time that the broker goes away. */
  onLost: (failure: CommandFailure) => void;
};

const PATH = '/v1/sessions';
const MAY = 'mayfly:read:sessions';
const MAX_WATCHED = 1_000;
/** A broker that restarts is back by then. */
const PATIENCE_MILLISECONDS = 30_000;

/** @throws {CommandFailure} */
export async function* sessionChanges(watch: SessionWatch): AsyncGenerator<Json> {
  const states = new Map<string, unknown>();
  const look = patient(watch, () => lookAt(watch, openOf(states)));
  for (;;) {
    const sessions = await look();
    for (const session of sessions) {
      const id = String(session.id);
      if (states.get(id) === session.state) continue;
      states.set(id, session.state);
      yield session;
    }
    if (watch.untilEnded && openOf(states).length === 0) return;
    await watch.pause();
  }
}

function openOf(states: ReadonlyMap<string, unknown>): string[] {
  return [...states].filter(([, state]) => state === 'open').map(([id]) => id);
}

/** Those that are open, and how those ended that were open the last time. */
async function lookAt({ client, id, filters }: SessionWatch, wereOpen: readonly string[]): Promise<Json[]> {
  if (id !== undefined) return [await one(client, id)];
  const open = await allOpen(client, filters);
  const isOpen = new Set(open.map((session) => session.id));
  const ended: Json[] = [];
  for (const gone of wereOpen.filter((each) => !isOpen.has(each))) ended.push(await one(client, gone));
  return [...ended, ...open];
}

async function one(client: OperatorClient, id: string): Promise<Json> {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  return (await client.ask({ may: MAY, method: 'GET', path, about: `the session ${id}` })).body;
}

async function allOpen(client: OperatorClient, filters: Readonly<Record<string, string>>): Promise<Json[]> {
  const open: Json[] = [];
  const request = { may: MAY, path: PATH, query: { ...filters, state: 'open' }, limit: MAX_WATCHED } as const;
  for await (const { rows, isLast } of pagesOf(client, request)) {
    open.push(...rows);
    if (!isLast && open.length >= MAX_WATCHED) {
      fail('usage', `More than ${MAX_WATCHED} sessions are open: --agent or --zone names fewer.`);
    }
  }
  return open;
}

/** The same look, again and again while the broker is away or cannot decide, for a while. */
function patient<T>({ pause, onLost }: SessionWatch, look: () => Promise<T>): () => Promise<T> {
  return async () => {
    let lostAt: number | undefined;
    for (;;) {
      try {
        return await look();
      } catch (error) {
        if (!isPassing(error)) throw error;
        if (lostAt === undefined) onLost(error);
        lostAt ??= performance.now();
        if (performance.now() - lostAt > PATIENCE_MILLISECONDS) throw error;
        await pause();
      }
    }
  };
}

function isPassing(error: unknown): error is CommandFailure {
  if (!(error instanceof CommandFailure)) return false;
  return error.exitCode === EXIT.server || error.exitCode === EXIT.unreachable;
}
