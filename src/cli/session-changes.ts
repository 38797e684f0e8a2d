/**
 * Sessions as they come and go: each once when it is first seen, and again whenever its state is another one. It
 * asks again and again, so it sees what a revocation did whoever made it, and misses sessions that came and went
 * between two looks.
 */
import { type CommandFailure, fail } from './failure.ts';
import { pagesOf } from './list-pages.ts';
import type { Json, OperatorClient } from './operator-client.ts';
import { untilBack } from './until-back.ts';

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

/** @throws {CommandFailure} */
export async function* sessionChanges(watch: SessionWatch): AsyncGenerator<Json> {
  const states = new Map<string, unknown>();
  for (;;) {
    const sessions = await untilBack(() => lookAt(watch, openOf(states)), watch);
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
