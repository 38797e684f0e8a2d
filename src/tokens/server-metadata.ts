/**
 * Authorization server metadata (RFC 8414 §2). Every member is true: what is not offered is not listed, and an
 * endpoint that clients insist on is there and answers. The names of the catalogue are not listed, so that they
 * cannot be read by whoever comes by; an agent knows its own, a resource's metadata names the minimum.
 */
import { JWS_ALGORITHMS } from '../jws/jwk.ts';
import { CALL_TYPE } from './call.ts';

export const PATHS = {
  metadata: '/.well-known/oauth-authorization-server',
  jwks: '/.well-known/jwks.json',
  ledgerJwks: '/.well-known/mayfly-ledger-jwks.json',
  protectedResource: '/.well-known/oauth-protected-resource',
  authorize: '/oauth/authorize',
  token: '/oauth/token',
  introspect: '/oauth/introspect',
  revoke: '/oauth/revoke',
} as const;

/**
 * The management API as a protected resource (RFC 9728 §2): whoever was refused there finds out where tokens for it
 * are had. Its actions are not listed; an operator knows the roles that it has.
 */
export function managementMetadata(issuer: string) {
  return {
    resource: issuer,
    authorization_servers: [issuer],
    bearer_methods_supported: ['header'],
    resource_name: 'mayfly management API',
    dpop_bound_access_tokens_required: true,
    dpop_signing_alg_values_supported: JWS_ALGORITHMS,
  };
}

export function serverMetadata(issuer: string) {
  const methods = ['private_key_jwt'];
  return {
    issuer,
    // Deployed clients refuse metadata without these two; nobody signs in there yet, and it says so.
    authorization_endpoint: `${issuer}${PATHS.authorize}`,
    response_types_supported: ['none'],
    token_endpoint: `${issuer}${PATHS.token}`,
    jwks_uri: `${issuer}${PATHS.jwks}`,
    // Of what brokers say about the ledger (L11): who verifies tokens needs both sets, and must not mix them.
    ledger_jwks_uri: `${issuer}${PATHS.ledgerJwks}`,
    grant_types_supported: ['client_credentials'],
    token_endpoint_auth_methods_supported: methods,
    token_endpoint_auth_signing_alg_values_supported: JWS_ALGORITHMS,
    introspection_endpoint: `${issuer}${PATHS.introspect}`,
    introspection_endpoint_auth_methods_supported: methods,
    introspection_endpoint_auth_signing_alg_values_supported: JWS_ALGORITHMS,
    revocation_endpoint: `${issuer}${PATHS.revoke}`,
    revocation_endpoint_auth_methods_supported: methods,
    revocation_endpoint_auth_signing_alg_values_supported: JWS_ALGORITHMS,
    dpop_signing_alg_values_supported: JWS_ALGORITHMS,
    authorization_details_types_supported: [CALL_TYPE],
  };
}
