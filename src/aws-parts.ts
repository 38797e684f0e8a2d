/** AWS credentials of a running broker, built by hand out of what they need. */
import { createAgentGuard } from './aws/agent-guard.ts';
import { AWS_METADATA_PATH, type AwsRoutes, CREDENTIALS_PATH, createAwsRoutes } from './aws/aws-routes.ts';
import { createCredentialStore } from './aws/credential-store.ts';
import { createCredentialIssuer } from './aws/issue-credentials.ts';
import { createSts } from './aws/sts.ts';
import { createWebIdentity } from './aws/web-identity.ts';
import type { CapabilityOptions } from './capabilities.ts';
import { AWS_PATH } from './catalogue/aws-access.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { Nonces } from './dpop/nonce.ts';
import { readOwnToken } from './tokens/access-token.ts';

export function buildAws(
  { configuration, catalogue, database, ring, log, clock }: CapabilityOptions,
  nonces: Nonces,
): AwsRoutes {
  const { issuer, noncePolicy, stsEndpoint } = configuration;
  const resource = `${issuer}${AWS_PATH}`;
  const store = createCredentialStore(database.kysely);
  return createAwsRoutes({
    issuer,
    resource,
    guard: createAgentGuard({
      resource,
      resourceMetadataUrl: `${issuer}${AWS_METADATA_PATH}`,
      url: `${issuer}${CREDENTIALS_PATH}`,
      readToken: (text) => readOwnToken(text, { issuer, keyOf: ring.tokenVerificationKey }),
      store,
      catalogue,
      nonces,
      noncePolicy,
      clock,
    }),
    credentials: createCredentialIssuer({
      catalogue,
      sts: createSts({
        endpoint: stsEndpoint,
        identityToken: createWebIdentity({ issuer, signer: ring.webIdentitySigner, clock }),
        log,
      }),
      store,
      log,
      clock,
    }),
    jwks: ring.webIdentityJwks,
    gives: { any: givesAws(catalogue.catalogue), byWebIdentity: vouchesAtAws(catalogue.catalogue) },
  });
}

function givesAws({ actions }: Catalogue): boolean {
  return [...actions.values()].some(({ aws }) => aws !== undefined);
}

/** Whether mayfly has to tell AWS who an agent is. */
export function vouchesAtAws({ actions }: Catalogue): boolean {
  return [...actions.values()].some(({ aws }) => aws?.via === 'web_identity');
}
