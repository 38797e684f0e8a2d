/**
 * A Unix socket between a broker and its Postgres that can be cut, silenced, or made to lose answers: what a
 * network does, without a network.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { embeddedUrls } from '../../src/database/embedded/embedded-urls.ts';
import { SOCKET_PORT } from '../../src/database/embedded/socket-directory.ts';
import { beforeDrop, type TestDatabase } from '../test-database.ts';

/** `cut`: nobody listens. `silent`: connections are there and nothing goes through. `deaf`: answers are lost. */
export type ProxyMode = 'open' | 'cut' | 'silent' | 'deaf';

export async function createDatabaseProxy(database: TestDatabase) {
  const directory = await mkdtemp(join(tmpdir(), 'mayfly-proxy-'));
  const name = `.s.PGSQL.${SOCKET_PORT}`;
  const pairs = new Set<{ near: Socket; far: Socket }>();
  let mode: ProxyMode = 'open';

  const server = createServer((near) => {
    if (mode === 'cut') {
      near.destroy();
      return;
    }
    const far = connect(join(database.socketDirectory, name));
    const pair = { near, far };
    pairs.add(pair);
    near.on('data', (chunk: Buffer) => {
      if (mode !== 'silent') far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      if (mode === 'open') near.write(chunk);
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => {});
      one.on('close', () => {
        other.destroy();
        pairs.delete(pair);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(join(directory, name), resolve));
  beforeDrop(async () => {
    for (const { near } of pairs) near.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(directory, { recursive: true, force: true });
  });

  return {
    applicationUrl: embeddedUrls(directory, database.name).applicationUrl,
    become(next: ProxyMode): void {
      // What was held back is lost for good, as on a network: those connections are of no use afterwards.
      if (next !== mode && mode !== 'open') for (const { near } of pairs) near.destroy();
      mode = next;
      if (mode === 'cut') for (const { near } of pairs) near.destroy();
    },
    connections: () => pairs.size,
  };
}
