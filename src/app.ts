/**
 * THE TABLE OF CONTENTS: path · who may call it · what answers. Reading this screen is reviewing the
 * authorisation; everything a route depends on is built by hand in broker.ts.
 */
import type { AgentRoutes } from './agents/agent-routes.ts';
import { OWN_AGENT_PATH, type OwnAgentRoutes } from './agents/own-agent-routes.ts';
import { AUDIT_PATH, type AuditRoutes } from './audit/audit-routes.ts';
import { AWS_METADATA_PATH, type AwsRoutes, CREDENTIALS_PATH } from './aws/aws-routes.ts';
import { AWS_JWKS_PATH, OPENID_PATH } from './aws/web-identity.ts';
import type { HealthRoutes } from './health.ts';
import type { Route } from './http/route.ts';
import type { DrillRoutes } from './kill-switch/drill-routes.ts';
import type { KillSwitchRoutes } from './kill-switch/kill-switch-routes.ts';
import { type ManagedRoute, managedRoutes } from './operators/managed-route.ts';
import type { ManagementAction } from './operators/management-actions.ts';
import type { OperatorGuard } from './operators/operator-guard.ts';
import type { SigningKeyRoutes } from './revocations/signing-key-routes.ts';
import { OWN_SESSION_PATH, type OwnSessionRoutes } from './sessions/own-session-routes.ts';
import type { SessionRoutes } from './sessions/session-routes.ts';
import type { DiscoveryRoutes } from './tokens/discovery-routes.ts';
import type { ManagedTokenRoutes } from './tokens/managed-token-routes.ts';
import { PATHS } from './tokens/server-metadata.ts';
import { createTokenEndpoint, type TokenEndpointOptions } from './tokens/token-endpoint.ts';
import type { TokenRoutes } from './tokens/token-routes.ts';
import type { FeedRoutes } from './verifiers/feed-routes.ts';
import type { LeaseRoutes } from './verifiers/lease-routes.ts';
import type { ProofRoutes } from './verifiers/proof-routes.ts';
import type { VerifierRoutes } from './verifiers/verifier-routes.ts';

export type Capabilities = {
  tokenEndpoint: TokenEndpointOptions;
  tokens: TokenRoutes;
  discovery: DiscoveryRoutes;
  health: HealthRoutes;
  /** Throws while the database is not the one in which the ledger was written (L25). */
  requireLedger: () => void;
  feed: FeedRoutes;
  leases: LeaseRoutes;
  proofs: ProofRoutes;
  killSwitch: KillSwitchRoutes;
  drills: DrillRoutes;
  /** Lets operators in, by the action that a route's `may` names. */
  operatorGuard: OperatorGuard;
  ownSession: OwnSessionRoutes;
  ownAgent: OwnAgentRoutes;
  sessions: SessionRoutes;
  managedTokens: ManagedTokenRoutes;
  agents: AgentRoutes;
  signingKeys: SigningKeyRoutes;
  verifiers: VerifierRoutes;
  audit: AuditRoutes;
  aws: AwsRoutes;
};

export function routesOf(capabilities: Capabilities): Route[] {
  const {
    tokenEndpoint,
    tokens,
    discovery,
    health,
    feed,
    leases,
    proofs,
    operatorGuard,
    ownSession,
    audit,
    aws,
  } = capabilities;
  const token = createTokenEndpoint(tokenEndpoint);
  const decisions: Route[] = [
    // method, path, error format, who may call it, body, what answers
    {
      method: 'POST',
      path: PATHS.token,
      format: 'oauth',
      may: 'agent or operator',
      body: 'form',
      answer: token,
    },
    {
      method: 'POST',
      path: PATHS.introspect,
      format: 'oauth',
      may: 'resource server',
      body: 'form',
      answer: tokens.introspect,
    },
    {
      method: 'POST',
      path: PATHS.revoke,
      format: 'oauth',
      may: 'agent or operator',
      body: 'form',
      answer: tokens.revoke,
    },
    { method: 'GET', path: PATHS.authorize, format: 'oauth', may: 'anyone', answer: discovery.authorize },
    { method: 'GET', path: PATHS.metadata, format: 'oauth', may: 'anyone', answer: discovery.metadata },
    {
      method: 'GET',
      path: PATHS.protectedResource,
      format: 'oauth',
      may: 'anyone',
      answer: discovery.protectedResource,
    },
    { method: 'GET', path: PATHS.jwks, format: 'oauth', may: 'anyone', answer: discovery.jwks },
    { method: 'GET', path: PATHS.ledgerJwks, format: 'oauth', may: 'anyone', answer: discovery.ledgerJwks },
    // AWS asks these of an OpenID provider that it trusts
    { method: 'GET', path: OPENID_PATH, format: 'oauth', may: 'anyone', answer: aws.openid },
    { method: 'GET', path: AWS_JWKS_PATH, format: 'oauth', may: 'anyone', answer: aws.jwks },
    { method: 'GET', path: AWS_METADATA_PATH, format: 'oauth', may: 'anyone', answer: aws.metadata },
    {
      method: 'POST',
      path: CREDENTIALS_PATH,
      format: 'problem',
      may: 'agent with a token for the action',
      body: 'json',
      answer: aws.credentials,
    },
    {
      method: 'POST',
      path: '/v1/tokens/:jti/consume',
      format: 'problem',
      may: 'resource server',
      body: 'json',
      answer: tokens.consume,
    },
    {
      method: 'POST',
      path: OWN_SESSION_PATH,
      format: 'problem',
      may: 'agent or operator',
      body: 'json',
      answer: ownSession.revokeOwn,
    },
    {
      method: 'POST',
      path: OWN_AGENT_PATH,
      format: 'problem',
      may: 'agent or operator',
      body: 'json',
      answer: capabilities.ownAgent.read,
    },
    {
      method: 'POST',
      path: '/v1/verifiers/current/lease',
      format: 'problem',
      may: 'resource server',
      body: 'json',
      answer: leases.renew,
    },
    {
      method: 'POST',
      path: '/v1/proofs/spend',
      format: 'problem',
      may: 'resource server',
      body: 'json',
      answer: proofs.spend,
    },
    {
      method: 'GET',
      path: '/v1/revocations',
      format: 'problem',
      may: 'resource server, or mayfly:read:revocations',
      answer: feed.read,
    },
    {
      method: 'GET',
      path: `${AUDIT_PATH}/checkpoint`,
      format: 'problem',
      may: 'anyone',
      answer: audit.checkpoint,
    },
    { method: 'GET', path: `${AUDIT_PATH}/keys`, format: 'problem', may: 'anyone', answer: audit.keys },
    {
      method: 'GET',
      path: `${AUDIT_PATH}/consistency`,
      format: 'problem',
      may: 'anyone',
      answer: audit.consistency,
    },
    // operators, each with a token for the action that `may` names
    ...managedRoutes(operatorGuard, managementOf(capabilities)),
    {
      method: 'GET',
      path: `${AUDIT_PATH}/tile/*path`,
      format: 'problem',
      may: 'anyone',
      answer: audit.tile,
    },
  ];
  return [
    ...decisions.map((route) => onlyWith(capabilities.requireLedger, route)),
    { method: 'GET', path: '/livez', format: 'problem', may: 'anyone', answer: health.live },
    { method: 'GET', path: '/readyz', format: 'problem', may: 'anyone', answer: health.ready },
  ];
}

/** Whatever a broker answers rests on the ledger; only how it is itself does not. */
function onlyWith(requireLedger: () => void, { answer, ...route }: Route): Route {
  return {
    ...route,
    answer(call) {
      requireLedger();
      return answer(call);
    },
  };
}

function managementOf(capabilities: Capabilities): ManagedRoute[] {
  const { sessions, managedTokens, agents, signingKeys, verifiers, killSwitch, drills, audit } = capabilities;
  const read = (path: string, may: ManagementAction, answer: ManagedRoute['answer']): ManagedRoute => ({
    method: 'GET',
    path,
    may,
    answer,
  });
  const change = (path: string, may: ManagementAction, answer: ManagedRoute['answer']): ManagedRoute => ({
    method: 'POST',
    path,
    may,
    body: 'json',
    answer,
  });
  return [
    read('/v1/sessions', 'mayfly:read:sessions', sessions.list),
    read('/v1/sessions/:id', 'mayfly:read:sessions', sessions.read),
    change('/v1/sessions/:id/revoke', 'mayfly:revoke:sessions', sessions.revoke),
    read('/v1/tokens/:jti', 'mayfly:read:tokens', managedTokens.read),
    change('/v1/tokens/:jti/revoke', 'mayfly:revoke:tokens', managedTokens.revoke),
    read('/v1/agents', 'mayfly:read:agents', agents.list),
    read('/v1/agents/:id', 'mayfly:read:agents', agents.read),
    change('/v1/agents/:id/revoke', 'mayfly:revoke:agents', agents.revoke),
    change('/v1/agents/:id/quarantine', 'mayfly:quarantine:agents', agents.quarantine),
    change('/v1/agents/:id/release', 'mayfly:release:agents', agents.release),
    read('/v1/signing-keys', 'mayfly:read:signing-keys', signingKeys.list),
    change('/v1/signing-keys/:kid/revoke', 'mayfly:revoke:signing-keys', signingKeys.revoke),
    read('/v1/verifiers', 'mayfly:read:verifiers', verifiers.list),
    read('/v1/kill-switch', 'mayfly:read:kill-switch', killSwitch.list),
    change('/v1/kill-switch', 'mayfly:engage:kill-switch', killSwitch.engage),
    change('/v1/kill-switch/preview', 'mayfly:read:kill-switch', killSwitch.preview),
    read('/v1/kill-switch/drill', 'mayfly:read:kill-switch', drills.read),
    change('/v1/kill-switch/drill', 'mayfly:run:drills', drills.run),
    read('/v1/kill-switch/:id', 'mayfly:read:kill-switch', killSwitch.read),
    read('/v1/kill-switch/:id/receipt', 'mayfly:read:kill-switch', killSwitch.receipt),
    change('/v1/kill-switch/:id/release', 'mayfly:release:kill-switch', killSwitch.release),
    read(`${AUDIT_PATH}/entries`, 'mayfly:read:audit', audit.list),
    read(`${AUDIT_PATH}/entries/:id`, 'mayfly:read:audit', audit.read),
    read(`${AUDIT_PATH}/tile/entries/*path`, 'mayfly:read:audit', audit.bundle),
  ];
}
