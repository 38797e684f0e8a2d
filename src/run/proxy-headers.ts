/**
 * Which fields of a header pass. Those of one hop stay on it (RFC 9110 §7.6.1), the program's credentials stay here,
 * and nobody is told who asked, or through what.
 */
import type { IncomingMessage } from 'node:http';
import { refuseRequest } from './proxy-refusal.ts';

const OF_ONE_HOP =
  /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|http2-settings|proxy-.*|via|forwarded|x-forwarded-.*|x-real-ip)$/;
/** `Authorization` and `DPoP` are the agent's; what is compressed cannot be looked through. */
const OF_REQUESTS = /^(?:authorization|dpop|host|expect|accept-encoding|max-forwards)$/;
/** Another way to the resource, without the proxy; and what is between the agent and the resource. */
const OF_ANSWERS = /^(?:alt-svc|dpop-nonce)$/;
const ONCE: readonly string[] = ['content-length', 'content-type', 'transfer-encoding'];

/** @throws {ProxyRefusal} */
export function headersToResource({ headersDistinct, headers }: IncomingMessage): Headers {
  if (ONCE.some((name) => (headersDistinct[name]?.length ?? 0) > 1)) refuseRequest('request_malformed');
  const named = namedBy(headers.connection);
  const passed = new Headers();
  for (const [name, values = []] of Object.entries(headersDistinct)) {
    if (OF_ONE_HOP.test(name) || OF_REQUESTS.test(name) || named.has(name)) continue;
    passed.set(name, values.join(name === 'cookie' ? '; ' : ', '));
  }
  return passed;
}

/** @param locationFor how a place is told to the program */
export function headersToProgram(
  { headers, status }: Response,
  locationFor: (location: string) => string,
): [name: string, value: string][] {
  const named = namedBy(headers.get('connection') ?? undefined);
  const isBodiless = status === 204 || status === 205;
  return [...headers]
    .filter(([name]) => !isBodiless || name !== 'content-length')
    .filter(([name]) => !OF_ONE_HOP.test(name) && !OF_ANSWERS.test(name) && !named.has(name))
    .map(([name, value]) => [name, name === 'location' ? locationFor(value) : value]);
}

function namedBy(connection = ''): ReadonlySet<string> {
  return new Set(connection.split(',').map((name) => name.trim().toLowerCase()));
}
