/**
 * What webhooks and OTLP have in common: one POST a batch, and what its status says. A status that says that *these
 * bytes* are wrong is a refusal, and leads to the one entry that is to blame. A status that says that the URL, the
 * credentials or the server is wrong is an outage: no entry is given up for it.
 */
import {
  type ClientTls,
  clientContext,
  createOutbound,
  type OutboundAnswer,
  OutboundError,
} from './outbound-request.ts';
import { type Delivery, type Receiver, reasonOf } from './receiver.ts';
import type { Secret } from './sink-secret.ts';

export type HttpTarget = {
  url: URL;
  /** The operator named this host: plain HTTP and a private address are fine. */
  allowPrivate: boolean;
  /** Header fields with a secret in them, such as `Authorization`. */
  headers: Readonly<Record<string, Secret>>;
  tls: ClientTls;
};

export type HttpBody = { headers: Readonly<Record<string, string>>; body: Buffer };

/** 400 Bad Request, 413 Content Too Large, 422 Unprocessable Content (RFC 9110 §15.5). */
const REFUSALS = new Set([400, 413, 422]);
const MAX_RETRY_AFTER_SECONDS = 300;

/** @param accepted looks at the body of a 2xx */
export function createHttpReceiver<Batch>({
  target: { url, allowPrivate, headers, tls },
  write,
  accepted = () => ({ outcome: 'accepted' }),
  post = createOutbound(),
}: {
  target: HttpTarget;
  write: (batch: Batch) => HttpBody;
  accepted?: (answer: OutboundAnswer) => Delivery;
  post?: ReturnType<typeof createOutbound>;
}): Omit<Receiver, 'deliver'> & { deliver(batch: Batch): Promise<Delivery> } {
  const ended = new AbortController();
  const context = clientContext(tls);
  return {
    async deliver(batch) {
      try {
        const { headers: own, body } = write(batch);
        const secret = Object.entries(headers).map(([name, value]) => [name, value.reveal()] as const);
        const answer = await post({
          url,
          allowPrivate,
          context,
          headers: { ...own, ...Object.fromEntries(secret) },
          body,
          signal: ended.signal,
        });
        return answer.status >= 200 && answer.status < 300 ? accepted(answer) : unaccepted(answer);
      } catch (error) {
        const because = error instanceof OutboundError ? error.message : reasonOf(error);
        return { outcome: 'failed', because };
      }
    },
    async close() {
      ended.abort();
    },
  };
}

function unaccepted({ status, retryAfterSeconds }: OutboundAnswer): Delivery {
  const because = `HTTP ${status}`;
  if (REFUSALS.has(status)) return { outcome: 'refused', because };
  if (retryAfterSeconds === null) return { outcome: 'failed', because };
  const seconds = Math.min(retryAfterSeconds, MAX_RETRY_AFTER_SECONDS);
  return { outcome: 'failed', because, retryAfterMilliseconds: seconds * 1000 };
}
