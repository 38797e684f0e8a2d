/** AWS credentials of a running broker, built by hand out of what they need. */
import { createAgentGuard } from './aws/agent-guard.ts';
import { AWS_METADATA_PATH, type AwsRoutes, CREDENTIALS_PATH, createAwsRoutes } from './aws/aws-routes.ts';
import { createCredentialStore } from './aws/credential-store.ts';
import { createDenier } from './aws/deny-on-roles.ts';
import { createDenyStore } from './aws/deny-store.ts';
import { createIam } from './aws/iam.ts';
import { createCredentialIssuer } from './aws/issue-credentials.ts';
import { createSts } from './aws/sts.ts';
import { createWebIdentity } from './aws/web-identity.ts';
import type { CapabilityOptions } from './capabilities.ts';
import { AWS_PATH } from './catalogue/aws-access.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { Nonces } from './dpop/nonce.ts';
import { repeat } from './time/repeat.ts';
import { readOwnToken } from './tokens/access-token.ts';
import { LONGEST_LEASE_SECONDS } from './verifiers/lease-lengths.ts';

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
        clock,
      }),
      store,
      log,
      clock,
    }),
    jwks: ring.webIdentityJwks,
    gives: { any: givesAws(catalogue.catalogue), byWebIdentity: vouchesAtAws(catalogue.catalogue) },
  });
}

type DenyParts = Pick<CapabilityOptions, 'configuration' | 'database' | 'log' | 'clock'> & {
  catalogue: Catalogue;
};

export type AwsDenies = {
  /** Roles on which the last attempt failed; not a number while the database does not say. */
  failing(): Promise<number>;
  close(): Promise<void>;
};

/** What was stopped too late is denied on its roles. Every broker tries; the database lets one at a time do it. */
export function startAwsDenies({ configuration, catalogue, database, log, clock }: DenyParts): AwsDenies {
  const store = createDenyStore(database.pool, { longestLeaseSeconds: LONGEST_LEASE_SECONDS });
  const iam = createIam({ endpoint: configuration.iamEndpoint });
  const denier = createDenier({ store, iam, log, clock });
  const looking = repeat({
    everyMilliseconds: deniesAtAws(catalogue) ? LOOK_MILLISECONDS.asked : LOOK_MILLISECONDS.leftOver,
    task: denier.look,
    onFailure: (error) => log.warn({ err: error }, 'what is to be denied at AWS could not be looked at'),
  });
  return {
    failing: () => store.failing().catch(() => Number.NaN),
    close: looking.stop,
  };
}

/** Where nothing is denied any more, something may have been until a moment ago. */
const LOOK_MILLISECONDS = { asked: 1_000, leftOver: 30_000 };

function deniesAtAws({ actions }: Catalogue): boolean {
  return [...actions.values()].some(({ aws }) => aws?.denyWhenRevoked === true);
}

function givesAws({ actions }: Catalogue): boolean {
  return [...actions.values()].some(({ aws }) => aws !== undefined);
}

/** Whether mayfly has to tell AWS who an agent is. */
export function vouchesAtAws({ actions }: Catalogue): boolean {
  return [...actions.values()].some(({ aws }) => aws?.via === 'web_identity');
}
