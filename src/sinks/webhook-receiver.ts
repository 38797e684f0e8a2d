/**
 * Batches as a JSON array, signed as https://www.standardwebhooks.com has it: `webhook-id`, `webhook-timestamp` and
 * `webhook-signature: v1,<base64 of HMAC-SHA256(secret, id "." timestamp "." body)>`. The same batch has the same id
 * each time it is sent; each event in it has its own.
 */
import { createHash, createHmac, type KeyObject } from 'node:crypto';
import { type Clock, numericDate } from '../time/clock.ts';
import { type EventFormat, eventText } from './event-text.ts';
import { createHttpReceiver, type HttpTarget } from './http-receiver.ts';
import type { createOutbound } from './outbound-request.ts';
import type { Receiver } from './receiver.ts';
import type { SinkEvent } from './sink-entry.ts';

export function createWebhookReceiver({
  name,
  format,
  target,
  secret,
  clock,
  post,
}: {
  name: string;
  format: EventFormat;
  target: HttpTarget;
  secret: KeyObject;
  clock: Clock;
  post?: ReturnType<typeof createOutbound>;
}): Receiver {
  return createHttpReceiver({
    target,
    ...(post === undefined ? {} : { post }),
    write: (batch: readonly SinkEvent[]) => {
      const body = Buffer.from(`[${batch.map((event) => eventText(format, event)).join(',')}]`);
      const id = batchId(name, batch);
      const timestamp = numericDate(clock);
      return {
        body,
        headers: {
          'Content-Type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signatureOf({ secret, id, timestamp, body }),
        },
      };
    },
  });
}

export function signatureOf({
  secret,
  id,
  timestamp,
  body,
}: {
  secret: KeyObject;
  id: string;
  timestamp: number;
  body: Buffer;
}): string {
  const digest = createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(body).digest('base64');
  return `v1,${digest}`;
}

/**
 * Of the entries themselves: what is sent again after a failure has the same, and nothing else has. Receivers throw away
 * what has a name that they have seen, and places in a log come again: in one that was restored, or in another one.
 */
function batchId(name: string, batch: readonly SinkEvent[]): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([name, ...batch.map(idOf)]))
    .digest('base64url');
  return `msg_${digest}`;
}

const idOf = ({ index, document }: SinkEvent) => [index, document.id];
