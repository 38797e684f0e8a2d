/**
 * Sends requests over so many connections that are kept open, one at a time on each, and looks at every answer.
 * Plain sockets: an HTTP client would cost this machine more than the server under test.
 */
import { connect, type Socket } from 'node:net';
import { type HttpAnswer, readAnswer } from './http-answer.ts';

export type Sent = { seconds: number; latenciesMilliseconds: Float64Array };

/** @throws when an answer is anything but a token */
export async function sendAll(
  requests: readonly Buffer[],
  { port, connections }: { port: number; connections: number },
): Promise<Sent> {
  const latenciesMilliseconds = new Float64Array(requests.length);
  let next = 0;

  async function keepAsking(): Promise<void> {
    let connection = await openConnection(port);
    while (next < requests.length) {
      const index = next;
      next += 1;
      const startedAt = performance.now();
      const answer = await connection.ask(requests[index] as Buffer);
      latenciesMilliseconds[index] = performance.now() - startedAt;
      if (!answer.isToken) throw new Error(`an answer that is no token:\n${answer.text}`);
      if (answer.closes) {
        connection.close();
        connection = await openConnection(port);
      }
    }
    connection.close();
  }

  const startedAt = performance.now();
  await Promise.all(Array.from({ length: Math.min(connections, requests.length) }, keepAsking));
  return { seconds: (performance.now() - startedAt) / 1_000, latenciesMilliseconds };
}

export async function askOnce(request: Buffer, port: number): Promise<HttpAnswer> {
  const connection = await openConnection(port);
  try {
    return await connection.ask(request);
  } finally {
    connection.close();
  }
}

type Connection = { ask(request: Buffer): Promise<HttpAnswer>; close(): void };

function openConnection(port: number): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => resolve(connectionOf(socket)));
  });
}

function connectionOf(socket: Socket): Connection {
  let received = '';
  let settle: PromiseWithResolvers<HttpAnswer> | undefined;
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    const answer = readAnswer(received);
    if (answer === null) return;
    received = '';
    settle?.resolve(answer);
  });
  socket.on('error', (error) => settle?.reject(error));
  socket.on('close', () => settle?.reject(new Error('the server hung up'))); // without effect after an answer

  return {
    ask(request) {
      settle = Promise.withResolvers();
      socket.write(request);
      return settle.promise;
    },
    close: () => socket.destroy(),
  };
}
