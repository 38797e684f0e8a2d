/**
 * THE TABLE OF CONTENTS: path · who may call it · what answers. Reading this screen is reviewing the
 * authorisation; everything a route depends on is built by hand in broker.ts.
 */

import type { HealthRoutes } from './health.ts';
import type { Route } from './http/route.ts';
import { managedRoutes } from './operators/managed-route.ts';
import type { OperatorGuard } from './operators/operator-guard.ts';
import type { DiscoveryRoutes } from './tokens/discovery-routes.ts';
import { PATHS } from './tokens/server-metadata.ts';
import { createTokenEndpoint, type TokenEndpointOptions } from './tokens/token-endpoint.ts';
import type { TokenRoutes } from './tokens/token-routes.ts';

export type Capabilities = {
  tokenEndpoint: TokenEndpointOptions;
  tokens: TokenRoutes;
  discovery: DiscoveryRoutes;
  health: HealthRoutes;
  /** Lets operators in, by the action that a route's `may` names. */
  operatorGuard: OperatorGuard;
};

export function routesOf({ tokenEndpoint, tokens, discovery, health, operatorGuard }: Capabilities): Route[] {
  const token = createTokenEndpoint(tokenEndpoint);
  return [
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
    {
      method: 'POST',
      path: '/v1/tokens/:jti/consume',
      format: 'problem',
      may: 'resource server',
      body: 'json',
      answer: tokens.consume,
    },
    // operators, each with a token for the action that `may` names
    ...managedRoutes(operatorGuard, []),
    { method: 'GET', path: '/livez', format: 'problem', may: 'anyone', answer: health.live },
    { method: 'GET', path: '/readyz', format: 'problem', may: 'anyone', answer: health.ready },
  ];
}
