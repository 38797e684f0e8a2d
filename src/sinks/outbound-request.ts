/**
 * One POST to somebody else's server, bounded in every direction: where it may go, how long it takes, how much comes
 * back. Redirects are answers like any other. Each request has a connection of its own, to an address that was judged:
 * the name is resolved once, so that nothing can change between the judgement and the call.
 */
import { lookup as resolveName } from 'node:dns/promises';
import { type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { mayCall } from './outbound-address.ts';

/** All PEM. Without `ca` the authorities that Node.js trusts. */
export type ClientTls = { ca?: string; certificate?: string; privateKey?: string };

/** Made once: it costs more than a request. */
export function clientContext({ ca, certificate, privateKey }: ClientTls): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { cert: certificate, key: privateKey }),
  });
}

export type OutboundPost = {
  url: URL;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
  /** Plain HTTP and private addresses: only for a host that an operator has named. */
  allowPrivate: boolean;
  /** For https. */
  context?: SecureContext;
  signal: AbortSignal;
};

export type OutboundAnswer = {
  status: number;
  contentType: string;
  /** As the header field says it, if it is a number of seconds. */
  retryAfterSeconds: number | null;
  body: Buffer;
};

/** A request that got no answer that counts. The message is ours, never the other side's. */
export class OutboundError extends Error {
  override readonly name: string = 'OutboundError';
}

export type Resolve = (host: string) => Promise<readonly { address: string; family: number }[]>;

export const OUTBOUND_TIMEOUT_MILLISECONDS = 15_000;
const MAX_ANSWER_BYTES = 65_536;
const MAX_HEADER_BYTES = 16_384;

const resolveAll: Resolve = (host) => resolveName(host, { all: true });

export function createOutbound({
  resolve = resolveAll,
  timeoutMilliseconds = OUTBOUND_TIMEOUT_MILLISECONDS,
}: {
  resolve?: Resolve;
  timeoutMilliseconds?: number;
} = {}): (post: OutboundPost) => Promise<OutboundAnswer> {
  return async (post) => {
    const signal = AbortSignal.any([post.signal, AbortSignal.timeout(timeoutMilliseconds)]);
    if (post.url.protocol !== 'https:' && !(post.url.protocol === 'http:' && post.allowPrivate)) {
      throw new OutboundError('only https is spoken');
    }
    const addresses = await until(signal, judged(post, resolve));
    return exchange(post, addresses, signal);
  };
}

/** Every address of the name has to be one that may be called: a name with a foot in both worlds is a trap. */
async function judged({ url, allowPrivate }: OutboundPost, resolve: Resolve) {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const addresses = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }];
  if (addresses.length === 0) throw new OutboundError('the host has no address');
  if (!addresses.every(({ address }) => mayCall(address, { allowPrivate }))) {
    throw new OutboundError('the host has an address that may not be called');
  }
  return addresses;
}

function exchange(
  { url, headers, body, context }: OutboundPost,
  addresses: readonly { address: string; family: number }[],
  signal: AbortSignal,
): Promise<OutboundAnswer> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions & Record<string, unknown> = {
      method: 'POST',
      agent: false,
      signal,
      maxHeaderSize: MAX_HEADER_BYTES,
      lookup: pinned(addresses),
      headers: { ...headers, 'Content-Length': body.length, 'User-Agent': 'mayfly' },
      ...(url.protocol === 'https:' && {
        rejectUnauthorized: true, // whatever the environment says
        secureContext: context,
      }),
    };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options);
    request.on('error', (error) => reject(signal.aborted ? new OutboundError('no answer in time') : error));
    request.on('upgrade', (_response, socket) => {
      socket.destroy();
      reject(new OutboundError('the answer is no HTTP response'));
    });
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        parts.push(part);
        if (bytes > MAX_ANSWER_BYTES) request.destroy(new OutboundError('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers['content-type'] ?? '',
          retryAfterSeconds: secondsOf(response.headers['retry-after']),
          body: Buffer.concat(parts),
        }),
      );
    });
    request.end(body);
  });
}

function pinned(addresses: readonly { address: string; family: number }[]): LookupFunction {
  return (_host, { all }, callback) => {
    const [first] = addresses;
    if (all) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family ?? 0);
  };
}

function secondsOf(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) : null;
}

/** What cannot be called off, such as a question to the resolver, is not waited for any longer. */
function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(new OutboundError('no answer in time'));
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
