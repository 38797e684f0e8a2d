/**
 * The body that a program sends, as a stream that waits for whoever takes it. Once nobody does any more, the rest is
 * taken and thrown away: most programs read no answer before they have sent everything.
 */
import type { IncomingMessage } from 'node:http';
import { ProxyRefusal, refuseRequest } from './proxy-refusal.ts';

export type ProgramBody = {
  /** Undefined when there is none. */
  stream: ReadableStream<Uint8Array> | undefined;
  throwAway(): void;
};

/** @throws {ProxyRefusal} */
export function openBody(request: IncomingMessage, maxBytes: number): ProgramBody {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (coding === undefined && Number(length) === 0) return { stream: undefined, throwAway() {} };
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') refuseRequest('request_malformed');
  if (request.method === 'GET' || request.method === 'HEAD') refuseRequest('request_malformed');
  if (Number(length) > maxBytes) refuseRequest('body_too_large');
  return readBody(request, maxBytes);
}

function readBody(request: IncomingMessage, maxBytes: number): ProgramBody {
  let left = maxBytes;
  let isWanted = true;

  function throwAway(): void {
    isWanted = false;
    request.resume();
  }

  function start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    const end = (error?: unknown) => {
      if (!isWanted) return;
      isWanted = false;
      if (error === undefined) controller.close();
      else controller.error(error);
    };
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) end(new ProxyRefusal('body_too_large'));
      if (!isWanted) return;
      controller.enqueue(chunk);
      if ((controller.desiredSize ?? 0) <= 0) request.pause();
    });
    request.once('end', () => end());
    request.once('close', () => end(new ProxyRefusal('run_over')));
    request.pause();
  }

  const stream = new ReadableStream<Uint8Array>({
    start,
    pull: () => void request.resume(),
    cancel: throwAway,
  });
  return { stream, throwAway };
}
