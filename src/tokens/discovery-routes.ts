/** What anyone may read: metadata and public keys. Never built from anything in the request. */
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import { serverMetadata } from './server-metadata.ts';

export type DiscoveryRoutes = {
  metadata: (call: Call) => Answer;
  jwks: (call: Call) => Answer;
  authorize: (call: Call) => Answer;
};

/** Keys are published fifteen minutes before they sign, so a copy may be this old. */
const PUBLIC_FOR_FIVE_MINUTES = { 'Cache-Control': 'public, max-age=300' };

export function createDiscoveryRoutes({
  issuer,
  jwks,
}: {
  issuer: string;
  jwks: () => object;
}): DiscoveryRoutes {
  const metadata = serverMetadata(issuer);
  return {
    metadata: () => ({ headers: PUBLIC_FOR_FIVE_MINUTES, body: metadata }),
    jwks: () => ({ headers: PUBLIC_FOR_FIVE_MINUTES, body: jwks() }),
    authorize: () =>
      refuse('response_type_unsupported', {
        hint: 'Agents authenticate at the token endpoint with private_key_jwt; people cannot sign in here yet.',
      }),
  };
}
