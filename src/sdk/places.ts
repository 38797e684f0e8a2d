/** Which addresses may be spoken to, and which of them belong together. */
import { giveUp } from './agent-error.ts';

const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/** Over TLS, or on this machine: everywhere else tokens and assertions could be read and changed on the way. */
export function isSafe({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.test(hostname));
}

/** @returns null for what is no plain, safe URL */
export function parseSafeUrl(text: unknown): URL | null {
  if (typeof text !== 'string' || text.length > 2_048 || !URL.canParse(text)) return null;
  const url = new URL(text);
  return isSafe(url) && url.username === '' && url.password === '' && url.hash === '' ? url : null;
}

/** @throws {AgentError} `misconfigured` */
export function requireIssuer(issuer: string): URL {
  const url = parseSafeUrl(issuer);
  if (url === null || url.search !== '') {
    giveUp(
      'misconfigured',
      'The issuer has to be an https URL, or an http one on this machine, without a query.',
    );
  }
  return url;
}

/** Between the host and the path: RFC 8414 §3.1, RFC 9728 §3.1. */
export function wellKnown(name: string, { origin, pathname }: URL): string {
  return `${origin}/.well-known/${name}${pathname === '/' ? '' : pathname}`;
}

/**
 * Whether a resource is the one that is called there, or one that it lies below, segment by segment. A token for it is
 * shown to nobody else.
 */
export function covers(resource: URL, url: URL): boolean {
  if (resource.origin !== url.origin) return false;
  const base = resource.pathname.replace(/\/$/, '');
  return url.pathname === base || url.pathname.startsWith(`${base}/`);
}
