/**
 * A Unix socket between a broker and its Postgres that says when one step of one named statement has been reached, and
 * holds it there until a test says how to go on. Nothing is lost on it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { SOCKET_PORT } from '../../src/database/embedded/socket-directory.ts';
import { beforeDrop, type TestDatabase } from '../test-database.ts';

/** `request`: sent, and not yet there. `answer`: done, and not yet heard. */
export type Step = { statement: string; at: 'request' | 'answer' };

/** Of a statement with this name, and no other that begins so. */
export const named = (name: string) => `\0${name}\0`;

const NOTIFICATION = 'A'.charCodeAt(0);

type Awaited = Step & { reached(): void };
type Held = { socket: Socket; chunk: Buffer };

export async function createStepProxy(database: Pick<TestDatabase, 'socketDirectory' | 'name'>) {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-steps-'));
  const name = `.s.PGSQL.${SOCKET_PORT}`;
  const sockets = new Set<Socket>();
  let awaited: Awaited | null = null;
  let held: Held[] | null = null;
  let isDeaf = false;
  let unheard = 0;

  const server = createServer((near) => {
    const far = connect(join(database.socketDirectory, name));
    let answerTo: Awaited | null = null;
    let holds: Held[] | null = null;
    let listens = false;

    function hold({ reached }: Awaited, first: Held): void {
      holds = [first];
      held = holds;
      reached();
    }

    function pass(socket: Socket, chunk: Buffer): void {
      if (holds !== null && holds === held) holds.push({ socket, chunk });
      else socket.write(chunk);
    }

    near.on('data', (chunk: Buffer) => {
      listens ||= chunk.includes('listen ');
      if (awaited === null || !chunk.includes(awaited.statement)) return pass(far, chunk);
      const step = awaited;
      awaited = null;
      if (step.at === 'request') return hold(step, { socket: far, chunk });
      answerTo = step;
      pass(far, chunk);
    });
    far.on('data', (chunk: Buffer) => {
      if (isDeaf && listens && chunk[0] === NOTIFICATION) unheard += 1;
      else if (answerTo === null) pass(near, chunk);
      else {
        hold(answerTo, { socket: near, chunk });
        answerTo = null;
      }
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
  beforeDrop(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });

  return {
    applicationUrl: embeddedUrls(directory, database.name).applicationUrl,
    /** The next time. @returns resolves when it has been reached, and is held there */
    holdAt(step: Step): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      awaited = { ...step, reached: resolve };
      return promise;
    },
    /** What is held goes through, in order. */
    goOn(): void {
      const waiting = held ?? [];
      held = null;
      for (const { socket, chunk } of waiting) socket.write(chunk);
    },
    /** Whether notifications of Postgres are kept back, for good. */
    loseNotifications(whether: boolean): void {
      isDeaf = whether;
    },
    lostNotifications: () => unheard,
  };
}
