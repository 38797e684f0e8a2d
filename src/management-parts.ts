/** What operators do to a running broker, how they are let in, and what agents ask of themselves. */
import { createAgentRoutes } from './agents/agent-routes.ts';
import { createAgentStore } from './agents/agent-store.ts';
import type { ClientAuthenticator } from './agents/authenticate-client.ts';
import { createOwnAgentRoutes, OWN_AGENT_PATH } from './agents/own-agent-routes.ts';
import type { Capabilities } from './app.ts';
import type { CapabilityOptions } from './capabilities.ts';
import type { CommitStatement } from './database/commit-wait.ts';
import type { Nonces } from './dpop/nonce.ts';
import { createPossessionReader } from './dpop/possession.ts';
import { requireTarget } from './dpop/target-url.ts';
import { buildAfterRevocation } from './kill-switch-parts.ts';
import { createOperatorGuard, type OperatorGuard } from './operators/operator-guard.ts';
import { createManagedChangeStore } from './revocations/managed-change-store.ts';
import { createManagedChanges } from './revocations/managed-changes.ts';
import type { createOwnEnds } from './revocations/own-ends.ts';
import { createReachStore } from './revocations/reach-store.ts';
import { createSigningKeyRoutes } from './revocations/signing-key-routes.ts';
import { createOwnSessionRoutes, OWN_SESSION_PATH } from './sessions/own-session-routes.ts';
import { createSessionRoutes } from './sessions/session-routes.ts';
import { createSessionStore } from './sessions/session-store.ts';
import { readOwnToken } from './tokens/access-token.ts';
import { createManagedTokenRoutes } from './tokens/managed-token-routes.ts';
import { PATHS } from './tokens/server-metadata.ts';
import { createTokenStore } from './tokens/token-store.ts';

export function buildOperatorGuard(
  { configuration, catalogue, clients, database, ring, clock }: CapabilityOptions,
  nonces: Nonces,
): OperatorGuard {
  const { issuer, noncePolicy } = configuration;
  const { operators } = catalogue.catalogue;
  return createOperatorGuard({
    issuer,
    resourceMetadataUrl: `${issuer}${PATHS.protectedResource}`,
    readToken: (text) => readOwnToken(text, { issuer, keyOf: ring.tokenVerificationKey }),
    admit: createTokenStore(database.operatorKysely).admit,
    rolesOf: (name) => operators.get(name)?.roles ?? [],
    isDeclared: (name) => clients.has(name),
    nonces,
    noncePolicy,
    clock,
  });
}

type Management = Pick<
  Capabilities,
  'ownSession' | 'ownAgent' | 'sessions' | 'managedTokens' | 'agents' | 'signingKeys'
>;

export function buildManagement(
  options: CapabilityOptions,
  {
    authenticator,
    nonces,
    commit,
    ownEnds,
  }: {
    authenticator: ClientAuthenticator;
    nonces: Nonces;
    commit: CommitStatement;
    ownEnds: ReturnType<typeof createOwnEnds>;
  },
): Management {
  const { configuration, catalogue, database, ring, bounds, clock } = options;
  const { byOperator, byItself } = buildAfterRevocation(options, commit);
  const { issuer, noncePolicy } = configuration;
  const { kysely } = database;
  const changeStore = createManagedChangeStore({ database: kysely, commit, clock });
  const changes = createManagedChanges({ reach: createReachStore(kysely), afterRevocation: byOperator });
  const managed = { changes, changeStore };
  const agentStore = createAgentStore(kysely);
  const possessionAt = (path: string) =>
    createPossessionReader({ target: requireTarget(`${issuer}${path}`), nonces, noncePolicy, clock });
  return {
    ownSession: createOwnSessionRoutes({
      authenticator,
      ends: ownEnds,
      afterRevocation: byItself,
      admit: bounds.admitRevocation,
      possessionOf: possessionAt(OWN_SESSION_PATH),
    }),
    ownAgent: createOwnAgentRoutes({
      issuer,
      authenticator,
      possessionOf: possessionAt(OWN_AGENT_PATH),
      store: agentStore,
      spend: createTokenStore(kysely).spend,
      catalogue,
      clock,
    }),
    sessions: createSessionRoutes({ store: createSessionStore(kysely), ...managed }),
    managedTokens: createManagedTokenRoutes({ store: createTokenStore(kysely), ...managed }),
    agents: createAgentRoutes({
      store: agentStore,
      catalogue: catalogue.catalogue,
      ...managed,
    }),
    signingKeys: createSigningKeyRoutes({ ring, ...managed }),
  };
}
