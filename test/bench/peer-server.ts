/**
 * The peer: oidc-provider, a widely used OAuth server for Node, set up for the same job as mayfly: client
 * credentials, private_key_jwt, DPoP, a JWT access token for one resource, and assertions and proofs that count
 * once. It does a little less, to its favour: it wants no nonce, and records neither the token nor an audit entry.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import pg from 'pg';
import { type ServerArguments, TOKEN_SECONDS } from './bench-client.ts';
import { createPeerAdapter, createPeerTables } from './peer-adapter.ts';

const { port, databaseUrl, clients } = JSON.parse(process.argv[2] ?? '') as ServerArguments;
const CONNECTIONS = 10;

const pool = new pg.Pool({ connectionString: databaseUrl, ssl: false, max: CONNECTIONS });
await createPeerTables(pool);

const signingKey = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const scopesOfResources = Map.groupBy(clients, ({ resource }) => resource);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: (type: string) => createPeerAdapter(pool, type),
  jwks: { keys: [{ ...signingKey, alg: 'EdDSA', use: 'sig', kid: 'peer' }] },
  // Known from the start, so that no request has to read its client from the database.
  clients: clients.map(({ clientId, publicJwk, scope }) => ({
    client_id: clientId,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [publicJwk] },
    dpop_bound_access_tokens: true,
    scope,
  })),
  clientDefaults: { id_token_signed_response_alg: 'EdDSA' },
  enabledJWA: { idTokenSigningAlgValues: ['EdDSA'] },
  scopes: clients.map(({ scope }) => scope),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      async getResourceServerInfo(_ctx: unknown, resource: string) {
        return {
          scope: (scopesOfResources.get(resource) ?? []).map(({ scope }) => scope).join(' '),
          accessTokenTTL: TOKEN_SECONDS,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'EdDSA' } },
        };
      },
    },
  },
});

createServer(provider.callback()).listen(port, '127.0.0.1');
process.once('SIGTERM', () => process.exit());
