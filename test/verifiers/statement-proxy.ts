/**
 * A Unix socket between a broker and its Postgres that stops the world at one step of one named statement: before it
 * reaches the database, or when its answer is on the way back.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { SOCKET_PORT } from '../../src/database/embedded/socket-directory.ts';
import { beforeDrop, type TestDatabase } from '../test-database.ts';

export type Stop = { statement: string; at: 'request' | 'answer' };

export async function createStatementProxy(database: TestDatabase) {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-proxy-'));
  const name = `.s.PGSQL.${SOCKET_PORT}`;
  const sockets = new Set<Socket>();
  let stop: Stop | null = null;
  let reached = Promise.withResolvers<void>();

  const server = createServer((near) => {
    const far = connect(join(database.socketDirectory, name));
    let isStopped = false;
    let holdsAnswer = false;
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
    near.on('data', (chunk: Buffer) => {
      const isIt = stop !== null && chunk.includes(stop.statement);
      if (isIt && stop?.at === 'request') isStopped = true;
      if (isIt && stop?.at === 'answer') holdsAnswer = true;
      if (isStopped) reached.resolve();
      else far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      if (!holdsAnswer && !isStopped) near.write(chunk);
      else if (holdsAnswer) reached.resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
  beforeDrop(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });

  return {
    applicationUrl: embeddedUrls(directory, database.name).applicationUrl,
    /** From now on. @returns resolves when something has been stopped there */
    stopAt(next: Stop): Promise<void> {
      reached = Promise.withResolvers();
      stop = next;
      return reached.promise;
    },
    /** What is held back stays lost; what comes from now on goes through. */
    goOn(): void {
      stop = null;
    },
  };
}
