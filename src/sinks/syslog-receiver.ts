/**
 * Syslog over TLS (RFC 5425). Syslog acknowledges nothing: a message that the kernel took may never have arrived, and
 * a connection that breaks does not say how much of what it carried was read. The one thing the other side can be made
 * to say is that it has read everything: we close our direction (close_notify, RFC 5425 §4.4), and it closes its own
 * when it comes to the end of what we sent.
 *
 * So a connection is a window. Until it was closed like that, nothing that it carried counts (`confirm`); when it
 * breaks, all that it carried is sent again, on a new one. Possible worlds when the window is closed:
 * - the other side closes after us, in order: it has read all of it;
 * - it breaks, resets, or stays silent: nothing of it counts, though some of it may have been read: it comes twice;
 * - it had closed before we did (a restart): nothing of it counts either, since bytes may have crossed its farewell.
 * What remains is a receiver that shuts down within the very round trip of our farewell, or that loses what it has
 * read. Who cannot live with that takes a webhook or OTLP, which acknowledge.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, connect, type SecureContext, type TLSSocket } from 'node:tls';
import { type ClientTls, clientContext } from './outbound-request.ts';
import { type Delivery, type Receiver, reasonOf } from './receiver.ts';
import type { SinkEvent } from './sink-entry.ts';
import { type SyslogStyle, syslogFrame } from './syslog-message.ts';

export type SyslogTarget = SyslogStyle & {
  host: string;
  port: number;
  /** The name that the server's certificate has to have. */
  serverName: string;
  tls: ClientTls;
};

export const SYSLOG_TIMEOUT_MILLISECONDS = 10_000;
const KEEP_ALIVE_MILLISECONDS = 10_000;

type Window = {
  socket: TLSSocket;
  /** Something was sent on it. */
  used: boolean;
  /** We have begun to close it. */
  closing: boolean;
  /** Why it is of no use any more; what it carried does not count. */
  broken: string | null;
};

export function createSyslogReceiver(
  target: SyslogTarget,
  { timeoutMilliseconds = SYSLOG_TIMEOUT_MILLISECONDS }: { timeoutMilliseconds?: number } = {},
): Receiver {
  const secureContext = clientContext(target.tls);
  let window: Window | null = null;
  let closed = false;

  async function opened(): Promise<Window> {
    if (closed) throw new Error('the sink has ended');
    if (window !== null && window.broken === null) return window;
    window = null;
    window = await openWindow(target, { secureContext, milliseconds: timeoutMilliseconds });
    return window;
  }

  function drop(): void {
    window?.socket.destroy();
    window = null;
  }

  return {
    async deliver(batch): Promise<Delivery> {
      if (window?.used && window.broken !== null) {
        const because = `the connection was lost: ${window.broken}`;
        drop();
        return { outcome: 'failed', because };
      }
      try {
        const current = await opened();
        current.used = true;
        await write(current, framesOf(batch, target), timeoutMilliseconds);
        return { outcome: 'accepted' };
      } catch (error) {
        drop();
        return { outcome: 'failed', because: reasonOf(error) };
      }
    },
    async confirm() {
      const ending = window;
      window = null;
      return ending === null || !ending.used || (await closeInOrder(ending, timeoutMilliseconds));
    },
    async close() {
      closed = true;
      drop();
    },
  };
}

function framesOf(batch: readonly SinkEvent[], style: SyslogStyle): Buffer {
  return Buffer.from(batch.map((event) => syslogFrame(event, style)).join(''), 'latin1');
}

function openWindow(
  { host, port, serverName }: SyslogTarget,
  { secureContext, milliseconds }: { secureContext: SecureContext; milliseconds: number },
): Promise<Window> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
      secureContext,
      rejectUnauthorized: true, // whatever the environment says
      checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    });
    const opening: Window = { socket, used: false, closing: false, broken: null };
    const timer = setTimeout(() => socket.destroy(new Error('no connection in time')), milliseconds);
    socket.setKeepAlive(true, KEEP_ALIVE_MILLISECONDS);
    socket.resume(); // a syslog receiver says nothing; what it says is thrown away, but its end has to be heard
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      resolve(opening);
    });
    socket.once('end', () => {
      if (!opening.closing) opening.broken ??= 'the other side ended it';
    });
    socket.on('error', (error) => {
      opening.broken ??= reasonOf(error);
    });
    socket.once('close', () => {
      clearTimeout(timer);
      if (!opening.closing) opening.broken ??= 'it was closed';
      reject(new Error(opening.broken ?? 'it was closed'));
    });
  });
}

function write(current: Window, bytes: Buffer, milliseconds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const { socket } = current;
    const giveUp = () => reject(new Error(current.broken ?? 'it was closed'));
    const timer = setTimeout(() => socket.destroy(new Error('nothing was taken in time')), milliseconds);
    socket.once('close', giveUp);
    socket.write(bytes, (error) => {
      clearTimeout(timer);
      socket.off('close', giveUp);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** @returns whether the other side closed after us, and in order */
function closeInOrder(ending: Window, milliseconds: number): Promise<boolean> {
  const { socket } = ending;
  if (ending.broken !== null || socket.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    let heardEnd = false;
    const timer = setTimeout(() => {
      ending.broken ??= 'no farewell in time';
      socket.destroy();
    }, milliseconds);
    ending.closing = true;
    socket.once('end', () => {
      heardEnd = true;
    });
    socket.once('close', (hadError) => {
      clearTimeout(timer);
      resolve(heardEnd && !hadError && ending.broken === null);
    });
    socket.end();
  });
}
