/** What the broker says about itself (RFC 8414), believed only where it fits the issuer that was configured. */
import type { Ask } from './bounded-fetch.ts';
import { refuse } from './refusal.ts';
import type { Loaded } from './remembered.ts';

export type IssuerMetadata = { jwksUrl: string; ledgerJwksUrl: string };

const MAX_AGE_SECONDS = 3_600;

/** @throws {VerifierRefusal} */
export async function loadIssuerMetadata(issuer: string, ask: Ask): Promise<Loaded<IssuerMetadata>> {
  const { status, json } = await ask({ url: metadataUrl(issuer) });
  // §3.3: a document that names another issuer was made for another issuer.
  if (status !== 200 || json.issuer !== issuer) {
    refuse('broker_answer_unusable', { hint: 'The metadata of the issuer cannot be used.' });
  }
  const value = {
    jwksUrl: endpoint(json.jwks_uri, issuer),
    ledgerJwksUrl: endpoint(json.ledger_jwks_uri, issuer),
  };
  return { value, maxAgeSeconds: MAX_AGE_SECONDS };
}

/** §3.1: between the host and the path of the issuer. */
function metadataUrl(issuer: string): string {
  const { origin, pathname } = new URL(issuer);
  return `${origin}/.well-known/oauth-authorization-server${pathname.replace(/\/$/, '')}`;
}

/** On the issuer's own origin, or a foreign document could send our questions, and the tokens in them, away. */
function endpoint(url: unknown, issuer: string): string {
  const parsed = typeof url === 'string' ? URL.parse(url) : null;
  if (parsed === null || parsed.origin !== new URL(issuer).origin) {
    refuse('broker_answer_unusable', { hint: 'The metadata of the issuer cannot be used.' });
  }
  return parsed.href;
}
