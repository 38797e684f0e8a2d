/** A reader of the feed that sees every byte: its events one by one, and the end. */
import { request } from 'node:http';

export type FeedEvent = { id: string | undefined; event: string | undefined; data: string };

export type FeedReader = {
  headers: NodeJS.Dict<string | string[]>;
  /** The next event; rejects when the stream ended before. */
  event(): Promise<FeedEvent>;
  /** Resolves when the broker ended the stream, or the connection broke. */
  ended(): Promise<void>;
  received(): string;
  close(): void;
  pause(): void;
  resume(): void;
};

export function openFeed(
  url: string,
  { since, headers }: { since: number; headers: Record<string, string> },
): Promise<FeedReader> {
  return new Promise((resolve, reject) => {
    const sent = request(`${url}/v1/revocations?since=${since}`, {
      agent: false,
      headers: { Accept: 'text/event-stream', ...headers },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      response.setEncoding('utf8');
      let text = '';
      let read = 0;
      let isOver = false;
      const waiting = new Set<() => void>();
      const wake = () => {
        for (const each of [...waiting]) each();
      };
      response.on('data', (chunk: string) => {
        text += chunk;
        wake();
      });
      response.on('error', () => {});
      response.on('close', () => {
        isOver = true;
        wake();
      });

      const when = <Found>(look: () => Found | undefined): Promise<Found> =>
        new Promise((found, failed) => {
          const check = () => {
            try {
              const value = look();
              if (value === undefined) return;
              waiting.delete(check);
              found(value);
            } catch (error) {
              waiting.delete(check);
              failed(error);
            }
          };
          waiting.add(check);
          check();
        });

      function nextEvent(): FeedEvent | undefined {
        for (;;) {
          const end = text.indexOf('\n\n', read);
          if (end === -1) {
            if (isOver) throw new Error(`the stream ended: ${text.slice(-200)}`);
            return undefined;
          }
          const block = text.slice(read, end);
          read = end + 2;
          const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
          const data = field('data');
          if (data !== undefined) return { id: field('id'), event: field('event'), data };
        }
      }

      resolve({
        headers: response.headers,
        event: () => when(nextEvent),
        ended: () => when(() => (isOver ? true : undefined)).then(() => {}),
        received: () => text,
        close: () => sent.destroy(),
        pause: () => response.pause(),
        resume: () => response.resume(),
      });
    });
    sent.end();
  });
}
