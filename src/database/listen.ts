/**
 * One connection that LISTENs, made anew for as long as it takes. A notification is a hint that it is worth looking,
 * and nothing else: it may come late, twice, or never, and whoever can connect can send one. So its payload is not
 * looked at, and nobody may rely on hearing of anything.
 *
 * Goes to the database directly: a pooler that lends connections by the transaction loses LISTEN without a word. A
 * heartbeat finds a connection whose other end is gone and did not say so.
 */
import type { ClientBase } from 'pg';
import type { Log } from '../errors/log.ts';
import { pause } from '../time/pause.ts';
import { connectOnce } from './pool.ts';

export type Listening = {
  isConnected(): boolean;
  close(): Promise<void>;
};

export type ListenOptions = {
  url: string;
  /** A name, not a text: letters and underscores. */
  channel: string;
  /** Also called after each connection, since what happened before it was not heard. */
  onWake: () => void;
  log: Log;
  heartbeatMilliseconds?: number;
  /** After a failure, twice as long after each further one up to the maximum. */
  retryMilliseconds?: number;
};

const HEARTBEAT_MILLISECONDS = 5_000;
const ANSWER_MILLISECONDS = 2_000;
const RETRY_MILLISECONDS = 200;
const MAX_RETRY_MILLISECONDS = 5_000;

type Connection = { client: ClientBase; close(): Promise<void> };

export function listenTo(options: ListenOptions): Listening {
  const { url, channel, onWake, log, heartbeatMilliseconds = HEARTBEAT_MILLISECONDS } = options;
  const { retryMilliseconds = RETRY_MILLISECONDS } = options;
  let connected = false;
  let failures = 0;
  const stopped = new AbortController();

  async function listenOnce(): Promise<void> {
    const connection = await connectOnce({
      url,
      applicationName: 'mayfly listen',
      log,
      statementTimeoutMilliseconds: ANSWER_MILLISECONDS,
    });
    try {
      connection.client.on('notification', onWake);
      await connection.client.query(`listen ${channel}`);
      [connected, failures] = [true, 0];
      onWake();
      await heartbeatUntilBroken(connection);
    } finally {
      connected = false;
      hangUp(connection);
    }
  }

  async function heartbeatUntilBroken({ client }: Connection): Promise<void> {
    const broken = new Promise<never>((_, reject) => {
      client.once('error', reject);
      client.once('end', () => reject(new Error('the connection ended')));
      stopped.signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
    });
    broken.catch(() => {});
    while (!stopped.signal.aborted) {
      await Promise.race([pause(heartbeatMilliseconds, stopped.signal), broken]);
      await Promise.race([client.query('select 1'), broken]);
    }
  }

  async function keepListening(): Promise<void> {
    while (!stopped.signal.aborted) {
      try {
        await listenOnce();
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (failures === 0) log.warn({ err: error, channel }, 'nobody wakes this broker; it polls');
        await pause(Math.min(retryMilliseconds * 2 ** failures, MAX_RETRY_MILLISECONDS), stopped.signal);
        failures += 1;
      }
    }
  }

  const running = keepListening();
  return {
    isConnected: () => connected,
    async close() {
      stopped.abort();
      await running;
    },
  };
}

/** Nobody waits for the goodbye to a server that may be gone. */
function hangUp(connection: Connection): void {
  connection.client.removeAllListeners('notification');
  connection.close().catch(() => {});
}
