/**
 * Sends an answer that goes on. A piece is made only when the reader took the one before, so that what a slow reader
 * costs is one piece and not a queue; who takes nothing at all is cut off by the listener's limit for silence.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AnswerStream } from './route.ts';

/** Resolves when all is sent or nobody reads it any more. @throws whatever making the next piece throws */
export async function sendStream(
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  { pieces, close }: AnswerStream,
): Promise<void> {
  const gone = new AbortController();
  const leave = () => gone.abort();
  response.once('close', leave);
  if (response.destroyed) leave();
  try {
    response.flushHeaders();
    if (request.method !== 'HEAD' && !response.destroyed)
      await sendPieces(response, pieces(gone.signal), gone.signal);
    response.end();
  } finally {
    response.off('close', leave);
    leave();
    close();
  }
}

async function sendPieces(
  response: ServerResponse,
  pieces: AsyncIterable<string>,
  gone: AbortSignal,
): Promise<void> {
  for await (const piece of pieces) {
    if (gone.aborted || response.destroyed) return;
    if (response.write(piece)) continue;
    try {
      await once(response, 'drain', { signal: gone });
    } catch {
      return; // nobody reads any more
    }
  }
}
