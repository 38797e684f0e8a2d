/** Where the servers of a run listen: on 127.0.0.1 and nowhere else, or on a Unix socket that only their user can open. */
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export const LOOPBACK = '127.0.0.1';
const PRIVATE_MODE = 0o600;

/** @returns a port that was free */
export async function listenOnLoopback(server: Server): Promise<number> {
  server.listen({ host: LOOPBACK, port: 0 });
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** @param socket path of one to make, in a folder that others cannot enter */
export async function listenOnSocket(server: Server, socket: string): Promise<void> {
  server.listen({ path: socket });
  await once(server, 'listening');
  chmodSync(socket, PRIVATE_MODE);
}

/** Cuts off whatever is under way: the program that asked for it has ended. */
export async function closeNow(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
