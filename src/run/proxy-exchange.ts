/** One request of the program, on its way to the resource and back. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AgentFetch } from '../sdk/authorised-fetch.ts';
import { demandedBy } from '../sdk/challenge.ts';
import { openBody } from './proxy-body.ts';
import { headersToProgram, headersToResource } from './proxy-headers.ts';
import { ProxyRefusal, refuseRequest } from './proxy-refusal.ts';

export type Exchange = {
  request: IncomingMessage;
  response: ServerResponse;
  /** Of the resource. */
  url: URL;
  fetch: AgentFetch;
  locationFor: (location: string) => string;
  maxBodyBytes: number;
  /** The body may come: RFC 9110 §10.1.1. */
  goOn(): void;
};

/**
 * Resolves when it was answered, or cut off where that can be seen.
 * @throws whatever went wrong before there was an answer
 */
export async function passOn(exchange: Exchange): Promise<void> {
  const { request, response, url, fetch, locationFor, maxBodyBytes, goOn } = exchange;
  const headers = headersToResource(request);
  const { stream: body, throwAway } = openBody(request, maxBodyBytes);
  goOn();
  const gone = new AbortController();
  response.once('finish', throwAway).once('close', () => {
    if (!response.writableFinished) gone.abort(new ProxyRefusal('run_over'));
  });
  const answer = await fetch(url, {
    method: request.method ?? 'GET',
    headers,
    redirect: 'manual',
    signal: gone.signal,
    ...(body === undefined ? {} : { body, duplex: 'half' }),
  });
  await requireLetIn(answer);
  await answerWith(response, answer, { locationFor, signal: gone.signal });
}

/** The agent sends what it can keep once more by itself; for the rest the program has to, who knows of no nonces. */
async function requireLetIn({ status, headers, body }: Response): Promise<void> {
  if (status !== 401 || demandedBy(headers)?.error !== 'use_dpop_nonce') return;
  await body?.cancel();
  refuseRequest('nonce_needed');
}

async function answerWith(
  response: ServerResponse,
  answer: Response,
  { locationFor, signal }: { locationFor: (location: string) => string; signal: AbortSignal },
): Promise<void> {
  try {
    response.writeHead(answer.status, headersToProgram(answer, locationFor).flat());
    response.flushHeaders();
    for await (const chunk of answer.body ?? []) {
      if (!response.write(chunk)) await once(response, 'drain', { signal });
    }
    response.end();
  } catch {
    // Half an answer is told from a whole one by the reset, also where its end is the end of the connection.
    response.socket?.resetAndDestroy();
  }
}
