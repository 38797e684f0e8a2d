/** The capabilities of a running broker, built by hand out of what they need. */

import { type ClientAuthenticator, createClientAuthenticator } from './agents/authenticate-client.ts';
import type { ClientDirectory } from './agents/client.ts';
import type { Capabilities } from './app.ts';
import type { AuditRoutes } from './audit/audit-routes.ts';
import type { RefusalRecorder } from './audit/refusal-recorder.ts';
import { buildAws } from './aws-parts.ts';
import { createRecent } from './bounds/recent.ts';
import type { ActiveCatalogue } from './catalogue/active-catalogue.ts';
import type { Configuration } from './config/configuration.ts';
import type { Database } from './database/connections.ts';
import { createNonces, type ReplayMemory } from './dpop/nonce.ts';
import { requireTarget } from './dpop/target-url.ts';
import type { Log } from './errors/log.ts';
import { Refusal } from './errors/refusal.ts';
import type { Health } from './health.ts';
import type { Metrics } from './http/metrics.ts';
import type { RequestBounds } from './http/rate-bound.ts';
import { buildSwitch, type DrillParts } from './kill-switch-parts.ts';
import { buildLeaseRoutes } from './lease-parts.ts';
import type { Ledger } from './ledger.ts';
import { buildManagement, buildOperatorGuard } from './management-parts.ts';
import { recordRefusal } from './refusal-record.ts';
import { createFeed } from './revocations/feed.ts';
import { createOwnEnds } from './revocations/own-ends.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';
import { readOwnToken } from './tokens/access-token.ts';
import { createTokenConsumer } from './tokens/consume-token.ts';
import { resourceAliases } from './tokens/decide-grant.ts';
import { createDiscoveryRoutes } from './tokens/discovery-routes.ts';
import { createTokenIntrospector } from './tokens/introspect-token.ts';
import { createMintStore } from './tokens/mint-store.ts';
import { createTokenMinter } from './tokens/mint-token.ts';
import { createOwnRevocationStore } from './tokens/own-revocation-store.ts';
import { createOwnRevocations } from './tokens/own-revocations.ts';
import { createTokenRevoker, type TokenRevokerOptions } from './tokens/revoke-token.ts';
import { PATHS } from './tokens/server-metadata.ts';
import { createTokenRoutes, type TokenRoutes } from './tokens/token-routes.ts';
import { createTokenStore } from './tokens/token-store.ts';
import { createFeedRoutes } from './verifiers/feed-routes.ts';
import { createProofRoutes } from './verifiers/proof-routes.ts';
import { createProofStore } from './verifiers/proof-store.ts';
import { createProofSpender } from './verifiers/spend-proofs.ts';
import { createVerifierListStore } from './verifiers/verifier-list-store.ts';
import { createVerifierRoutes } from './verifiers/verifier-routes.ts';

/** Keys of sessions that are remembered in imported form, and the headers that carry them. */
const MAX_SESSION_KEYS = 50_000;

export type CapabilityOptions = {
  configuration: Configuration;
  catalogue: ActiveCatalogue;
  clients: ClientDirectory;
  database: Database;
  ledger: Ledger;
  ring: KeyRing;
  bounds: RequestBounds;
  recorder: RefusalRecorder;
  health: Health;
  metrics: Metrics;
  drills: DrillParts;
  audit: AuditRoutes;
  log: Log;
  clock: Clock;
};

/** `idle` resolves when nothing is being minted; `drain` ends what would go on for ever. */
export function buildCapabilities(
  options: CapabilityOptions,
): Capabilities & { idle(): Promise<void>; drain(): void; streams(): number } {
  const { configuration, catalogue, clients, database, ledger, ring, bounds, metrics, health, clock } =
    options;
  const { issuer } = configuration;
  const memory = replayMemoryOf(ledger);
  const nonces = createNonces({ secrets: ring.nonceSecrets, memory, clock });
  const authenticator = createClientAuthenticator({
    issuer,
    clients: () => clients,
    bounds,
    forgottenUntil: () => memory().from,
    clock,
  });
  const minting = {
    issuer,
    catalogue,
    signer: ring.tokenSigner,
    refreshSigner: ring.refresh,
    onMinted: metrics.minted,
    clock,
  };
  const minter = createTokenMinter({ ...minting, store: createMintStore(database.mintPool) });
  const operatorMinter = createTokenMinter({
    ...minting,
    store: createMintStore(database.operatorMintPool),
    lanes: 1,
  });
  const operatorGuard = buildOperatorGuard(options, nonces);
  const feed = createFeed({ ...ledger, clock });
  const { commit } = database;
  const ownRevocationStore = createOwnRevocationStore({ database: database.kysely, commit });
  const ownRevocations = createOwnRevocations(ownRevocationStore);
  const ownEnds = createOwnEnds({ commit, clock });
  return {
    async idle() {
      await Promise.all([minter.idle(), operatorMinter.idle(), ownRevocations.idle(), ownEnds.idle()]);
    },
    drain: feed.drain,
    requireLedger: ledger.trust.require,
    streams: feed.streams,
    health,
    killSwitch: buildSwitch(options, commit),
    drills: options.drills.routes,
    audit: options.audit,
    aws: buildAws(options, nonces),
    ...buildManagement(options, { authenticator, nonces, commit, ownEnds }),
    operatorGuard,
    feed: createFeedRoutes({
      feed,
      authenticator,
      operatorGuard,
      spend: createTokenStore(database.kysely).spend,
      clock,
    }),
    leases: buildLeaseRoutes(options),
    proofs: createProofRoutes({
      authenticator,
      spender: createProofSpender({ store: createProofStore(database.pool), clock }),
      clock,
    }),
    verifiers: createVerifierRoutes({ store: createVerifierListStore(database.kysely) }),
    tokens: buildTokenRoutes(options, { authenticator, ownRevocations, spend: ownRevocationStore.spend }),
    discovery: createDiscoveryRoutes({ issuer, jwks: ring.jwks, ledgerJwks: ring.ledgerJwks }),
    tokenEndpoint: {
      issuer,
      target: requireTarget(`${issuer}${PATHS.token}`),
      authenticator,
      bounds,
      catalogue: catalogue.catalogue,
      resourceAliases: resourceAliases(catalogue.catalogue, sampleOrigin(configuration)),
      nonces,
      noncePolicy: configuration.noncePolicy,
      proofCaches: { headers: createRecent(MAX_SESSION_KEYS), keys: createRecent(MAX_SESSION_KEYS) },
      minter,
      operatorMinter,
      isHighStopped: (resource) =>
        configuration.missedDrillStopsHigh && options.drills.watch.isDoubtful(resource),
      clock,
    },
  };
}

/** A database that was restored has forgotten which proofs and assertions were used; then its ledger's head was moved. */
function replayMemoryOf({ follower }: Ledger): () => ReplayMemory {
  return () => {
    const head = follower.head();
    return { name: head?.generation ?? 0, from: head?.movedAt ?? 0 };
  };
}

function buildTokenRoutes(
  { configuration, catalogue, clients, database, ledger, ring, bounds, recorder, clock }: CapabilityOptions,
  {
    authenticator,
    ...own
  }: { authenticator: ClientAuthenticator } & Pick<TokenRevokerOptions, 'ownRevocations' | 'spend'>,
): TokenRoutes {
  const { issuer } = configuration;
  const store = createTokenStore(database.kysely);
  const readToken = (text: string) => readOwnToken(text, { issuer, keyOf: ring.tokenVerificationKey });
  return createTokenRoutes({
    authenticator,
    introspector: createTokenIntrospector({ store, readToken, clock }),
    revoker: createTokenRevoker({
      store,
      readToken,
      ...own,
      admit: bounds.admitRevocation,
      announce: ledger.announcer.announce,
      clock,
    }),
    consumer: createTokenConsumer({ store, clock }),
    onForeignRevocation(call) {
      const { requestId, source } = call;
      const refusal = new Refusal('token_of_another_client');
      const refused = { refusal, requestId, source, call, route: { path: PATHS.revoke } };
      void recordRefusal(refused, { recorder, clients, catalogue, issuer });
    },
  });
}

/** Where the sample server plays the resources of a development catalogue; production knows no such place. */
function sampleOrigin({ database, samplePort }: Configuration): string | undefined {
  return database.kind === 'embedded' ? `http://127.0.0.1:${samplePort}` : undefined;
}
