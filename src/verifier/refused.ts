/**
 * A refusal with the exact answer that belongs to it: status, challenge (RFC 6750 §3, RFC 9449 §7.1, RFC 9728
 * §5.1) and a problem document (RFC 9457). Deployed clients read the challenge with regular expressions, so its
 * form is fixed: one challenge, the scheme first, every value quoted.
 */
import type { ServerResponse } from 'node:http';
import { JWS_ALGORITHMS } from '../jws/jwk.ts';
import {
  REFUSAL_CODES,
  type RefusalCode,
  type VerifierRefusal,
  type VerifierRefusalReason,
} from './refusal.ts';

export type Refused = {
  /** For the log of the resource server; not part of the answer. */
  reason: VerifierRefusalReason;
  code: RefusalCode;
  status: number;
  headers: Readonly<Record<string, string>>;
  /** JSON. */
  body: string;
};

export type RefusalContext = {
  resourceMetadataUrl: string;
  /** Everything that this operation needs: the complete `scope` (RFC 6750 §3.1). */
  action: string;
  /** The nonce to hand out with a challenge that asks for one. */
  nonce: () => string;
};

/** What a challenge lists as `algs`: space-separated, each name under which a proof may be signed. */
export const PROOF_ALGORITHMS = JWS_ALGORITHMS.join(' ');

const CHALLENGED_STATUSES: readonly number[] = [400, 401, 403];

export function refusedWith(refusal: VerifierRefusal, context: RefusalContext): Refused {
  const { reason, code, hint, retryAfterSeconds } = refusal;
  const { status, title } = REFUSAL_CODES[code];
  return {
    reason,
    code,
    status,
    headers: {
      'Content-Type': 'application/problem+json',
      'Cache-Control': 'no-store',
      ...(CHALLENGED_STATUSES.includes(status) ? { 'WWW-Authenticate': challenge(refusal, context) } : {}),
      ...(code === 'use_dpop_nonce' ? { 'DPoP-Nonce': context.nonce() } : {}),
      ...(status === 429 || status === 503 ? { 'Retry-After': String(retryAfterSeconds) } : {}),
    },
    body: JSON.stringify({ type: `urn:mayfly:problem:${code}`, title, status, code, hint }),
  };
}

/** RFC 6750 §3.1: a request without credentials is told no error. */
function challenge({ code, hint }: VerifierRefusal, { action, resourceMetadataUrl }: RefusalContext): string {
  const { error } = REFUSAL_CODES[code];
  const parameters = {
    ...(error === null ? {} : { error }),
    ...(error === null || hint === undefined ? {} : { error_description: hint }),
    scope: action,
    algs: PROOF_ALGORITHMS,
    resource_metadata: resourceMetadataUrl,
  };
  const quoted = Object.entries(parameters).map(([name, value]) => `${name}="${quotable(value)}"`);
  return `DPoP ${quoted.join(', ')}`;
}

/** RFC 6750 §3: no quotation mark, no backslash, nothing outside visible ASCII and the space. */
function quotable(text: string): string {
  return text
    .replaceAll('"', "'")
    .replaceAll('\\', '/')
    .replaceAll(/[^\x20-\x7e]/g, '?');
}

/** Answers a Node request. */
export function sendRefused({ status, headers, body }: Refused, response: ServerResponse): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** The same for a server that answers with fetch's `Response`. */
export function refusedResponse({ status, headers, body }: Refused): Response {
  return new Response(body, { status, headers });
}
