/** Node's server, plain or with TLS 1.3 alone, within the limits of this broker. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createServer as createHttpServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { HttpLimits } from './limits.ts';
import { ListenError } from './listen-error.ts';

/** All PEM. With `clientAuthorities`, who has no certificate from one of them does not get through the handshake. */
export type TlsMaterial = { certificate: string; privateKey: string; clientAuthorities?: string | undefined };

/** @throws {ListenError} for a certificate or key that cannot be used */
export function createServer(tls: TlsMaterial | undefined, limits: HttpLimits): Server {
  const server = tls === undefined ? createHttpServer(nodeOptions(limits)) : createTlsServer(tls, limits);
  server.timeout = limits.idleSocketMilliseconds;
  server.maxRequestsPerSocket = limits.requestsPerSocket; // what is pipelined past it reaches no handler
  server.maxHeadersCount = 0; // their size is bounded; a count would drop the rest in silence
  server.maxConnections = limits.connections;
  return server;
}

function nodeOptions(limits: HttpLimits): ServerOptions {
  return {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMilliseconds,
    requestTimeout: limits.requestMilliseconds,
    keepAliveTimeout: limits.keepAliveMilliseconds,
    connectionsCheckingInterval: limits.connectionCheckMilliseconds,
    insecureHTTPParser: false,
    requireHostHeader: false, // the edge answers that itself, as JSON
    noDelay: true,
  };
}

function createTlsServer(tls: TlsMaterial, limits: HttpLimits): Server {
  const { certificate, privateKey, clientAuthorities } = tls;
  try {
    refuseEmptyMaterial(tls);
    return createHttpsServer({
      ...nodeOptions(limits),
      cert: certificate,
      key: privateKey,
      minVersion: 'TLSv1.3',
      handshakeTimeout: limits.handshakeMilliseconds,
      ...(clientAuthorities === undefined
        ? {}
        : { ca: clientAuthorities, requestCert: true, rejectUnauthorized: true }),
    });
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new ListenError(
      `The TLS certificate, its key or the client authorities cannot be used (${code}).`,
      {
        cause: error,
      },
    );
  }
}

/** Node takes an empty key for none, and empty authorities for all that the machine trusts. */
function refuseEmptyMaterial({ certificate, privateKey, clientAuthorities }: TlsMaterial): void {
  new X509Certificate(certificate);
  createPrivateKey(privateKey);
  if (clientAuthorities !== undefined) new X509Certificate(clientAuthorities);
}
