/** A request to a local endpoint as any program could make it, wrong ones too: `fetch` would put it right. */
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

export type Local = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Record<string, unknown>;
  text: string;
};

export type Asked = {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string | object;
  /** Path of a Unix socket in place of the URL's host. */
  socketPath?: string;
};

export async function askLocally(url: string, asked: Asked = {}): Promise<Local> {
  const { method = 'POST', headers = {}, body, socketPath } = asked;
  const { hostname, port, pathname } = new URL(url);
  const sent = typeof body === 'object' ? JSON.stringify(body) : body;
  const type = typeof body === 'object' ? { 'Content-Type': 'application/json' } : {};
  const { promise, resolve, reject } = Promise.withResolvers<Local>();
  const place = socketPath === undefined ? { host: hostname, port } : { socketPath };
  const request = httpRequest({ ...place, path: pathname, method, headers: { ...type, ...headers } });
  request.on('error', reject).on('response', async (response) => {
    const answer = await text(response);
    const { statusCode: status = 0, headers } = response;
    const isJson = /json/.test(headers['content-type'] ?? '') && answer !== '';
    resolve({ status, headers, body: isJson ? JSON.parse(answer) : {}, text: answer });
  });
  request.end(sent);
  return promise;
}

/** Bytes, whatever they are, and everything that comes back. */
export async function sendBytes(address: string, bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.end(bytes);
  return text(socket).catch(() => '');
}
