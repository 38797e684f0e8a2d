/**
 * The address that a request to a proxy names (RFC 9112 §3.2.2), read strictly: an authority counts only when it is
 * written as it would be written back, so that nothing which is compared here is understood otherwise elsewhere.
 */
import type { IncomingMessage } from 'node:http';
import { refuseRequest } from './proxy-refusal.ts';

const ABSOLUTE = /^https?:\/\/([^/?#\\]+)(?:[/?][^#\\]*)?$/i;
const VISIBLE = /^[\x21-\x7e]+$/;
/** `..`, `.` and `..;x`, also behind a slash that is written as %2F or %5C: some servers would go up there. */
const CLIMBS = /(?:^|\/)(?:\.{1,2})(?:;[^/]*)?(?:\/|$)/;

/** @throws {ProxyRefusal} */
export function readTarget(text: string): URL {
  if (text.startsWith('/') || text === '*') refuseRequest('target_not_absolute');
  const authority = VISIBLE.test(text) ? ABSOLUTE.exec(text)?.[1] : undefined;
  const url = URL.parse(text);
  if (authority === undefined || url === null || !isWrittenAs(authority, url) || climbs(url.pathname)) {
    return refuseRequest('target_malformed');
  }
  return url;
}

/** RFC 9112 §3.2: one, and the very host of the target. @throws {ProxyRefusal} */
export function requireSameHost({ headersDistinct }: IncomingMessage, target: URL): void {
  const [host, ...others] = headersDistinct.host ?? [];
  if (host === undefined || others.length > 0 || !isWrittenAs(host, target)) refuseRequest('host_differs');
}

function isWrittenAs(authority: string, { protocol, hostname, host, port }: URL): boolean {
  const written = authority.toLowerCase();
  const withDefault = port === '' ? `${hostname}:${protocol === 'https:' ? 443 : 80}` : host;
  return written === host || written === withDefault;
}

function climbs(pathname: string): boolean {
  const separated = pathname.replaceAll(/%2f|%5c/gi, '/').replaceAll(/%2e/gi, '.');
  return CLIMBS.test(separated);
}

const TUNNEL = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]):([1-9]\d{0,4})$/i;

/** Whether what CONNECT names is a host and a port at all: `host:1` to `host:65535`. */
export function isTunnelTarget(text: string): boolean {
  const port = Number(TUNNEL.exec(text)?.[1] ?? 0);
  return port > 0 && port <= 65_535;
}
