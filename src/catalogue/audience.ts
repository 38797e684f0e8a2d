/**
 * A resource's audience: the one URL that stands in a token's `aud`, in a client's `resource` (RFC 8707 §2) and in
 * the metadata of the resource server. All three are compared byte for byte, so it has one spelling: the WHATWG
 * serialisation, without the slash of an empty path.
 */
import { z } from 'zod';
import type { Field } from './fields.ts';

const MAX_AUDIENCE_CHARACTERS = 256;
const LOOPBACK_HOSTS = new Set(['localhost', '127.0.0.1', '[::1]']);

/** @returns the canonical spelling when the text is a URL that may be an audience, else null */
export function canonicalAudience(text: string): string | null {
  if (text.length > MAX_AUDIENCE_CHARACTERS || !/^[\x21-\x7e]+$/.test(text)) return null;
  const url = URL.parse(text);
  if (url === null || !isSecure(url)) return null;
  if (url.username !== '' || url.password !== '') return null;
  // RFC 8707 §2: no fragment, and no query; an empty one ("?", "#") is not in `search`, but it is in `href`
  if (/[?#]/.test(url.href) || /%|\/\//.test(url.pathname)) return null;
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

export const AUDIENCE: Field<string> = {
  schema: z.string().refine((text) => canonicalAudience(text) === text),
  expected:
    'an absolute https URL (http only for this machine) in its canonical spelling: lower-case host, no user, no default port, no query, no fragment, no % escapes, no slash at the end',
  fix: 'Write it as the resource server knows itself, like https://customers.example.com.',
};

function isSecure(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK_HOSTS.has(url.hostname));
}
