/**
 * What anyone may read: metadata and public keys. Never built from anything in the request, and never kept by
 * caches on the way: a revoked key would live on in them. Who verifies keeps its own copy for minutes.
 */
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import { managementMetadata, serverMetadata } from './server-metadata.ts';

export type DiscoveryRoutes = {
  metadata: (call: Call) => Answer;
  protectedResource: (call: Call) => Answer;
  jwks: (call: Call) => Answer;
  ledgerJwks: (call: Call) => Answer;
  authorize: (call: Call) => Answer;
};

export function createDiscoveryRoutes({
  issuer,
  jwks,
  ledgerJwks,
}: {
  issuer: string;
  jwks: () => object;
  ledgerJwks: () => object;
}): DiscoveryRoutes {
  const metadata = serverMetadata(issuer);
  const management = managementMetadata(issuer);
  return {
    metadata: () => ({ body: metadata }),
    protectedResource: () => ({ body: management }),
    jwks: () => ({ body: jwks() }),
    ledgerJwks: () => ({ body: ledgerJwks() }),
    authorize: () =>
      refuse('response_type_unsupported', {
        hint: 'Agents authenticate at the token endpoint with private_key_jwt; people cannot sign in here yet.',
      }),
  };
}
