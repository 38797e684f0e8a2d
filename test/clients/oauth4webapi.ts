import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as oauth from 'oauth4webapi';
import { ACTION, AGENT, type ClientWorld } from './client-world.ts';

const INSECURE = { [oauth.allowInsecureRequests]: true };
const CLIENT: oauth.Client = { client_id: AGENT };

export function describeOauth4webapi(world: () => ClientWorld): void {
  describe('oauth4webapi', () => {
    async function discovered(): Promise<oauth.AuthorizationServer> {
      const issuer = new URL(world().issuer);
      const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...INSECURE });
      return oauth.processDiscoveryResponse(issuer, response);
    }

    /** It retries by itself only at a resource; at the token endpoint its caller does. */
    async function getToken(
      as: oauth.AuthorizationServer,
      options: { DPoP: oauth.DPoPHandle; authentication?: oauth.ClientAuth },
    ) {
      const { DPoP, authentication = oauth.PrivateKeyJwt(world().agentKey.key) } = options;
      const ask = async () =>
        oauth.processClientCredentialsResponse(
          as,
          CLIENT,
          await oauth.clientCredentialsGrantRequest(
            as,
            CLIENT,
            authentication,
            { scope: ACTION },
            { DPoP, ...INSECURE },
          ),
        );
      try {
        return await ask();
      } catch (error) {
        if (!oauth.isDPoPNonceError(error)) throw error;
        return ask();
      }
    }

    const customers = (accessToken: string, DPoP: oauth.DPoPHandle) =>
      oauth.protectedResourceRequest(
        accessToken,
        'GET',
        new URL(world().customersUrl),
        undefined,
        undefined,
        { DPoP, ...INSECURE },
      );

    async function callCustomers(accessToken: string, DPoP: oauth.DPoPHandle): Promise<Response> {
      try {
        return await customers(accessToken, DPoP);
      } catch (error) {
        if (!oauth.isDPoPNonceError(error)) throw error;
        return customers(accessToken, DPoP);
      }
    }

    test('finds the resource’s metadata and the broker it names', async () => {
      const resource = new URL(world().resource);
      const response = await oauth.resourceDiscoveryRequest(resource, INSECURE);
      const metadata = await oauth.processResourceDiscoveryResponse(resource, response);
      assert.deepEqual(metadata.authorization_servers, [world().issuer]);
      assert.equal(metadata.dpop_bound_access_tokens_required, true);
      assert.equal((await discovered()).issuer, world().issuer);
    });

    for (const alg of ['ES256', 'Ed25519', 'EdDSA']) {
      test(`gets a token and calls with proofs signed as ${alg}`, async () => {
        const as = await discovered();
        const keys = await oauth.generateKeyPair(alg === 'EdDSA' ? 'Ed25519' : alg);
        const DPoP = oauth.DPoP(CLIENT, keys, {
          [oauth.modifyAssertion]: (header) => {
            header.alg = alg;
          },
        });
        const { access_token: accessToken } = await getToken(as, { DPoP });
        assert.equal((await callCustomers(accessToken, DPoP)).status, 200);
      });
    }

    test('authenticates with and without a kid, and with typ JWT', async () => {
      const as = await discovered();
      const { key, kid } = world().agentKey;
      const typed = oauth.PrivateKeyJwt(key, {
        [oauth.modifyAssertion]: (header) => {
          header.typ = 'JWT';
        },
      });
      for (const authentication of [oauth.PrivateKeyJwt(key), oauth.PrivateKeyJwt({ key, kid }), typed]) {
        const DPoP = oauth.DPoP(CLIENT, await oauth.generateKeyPair('ES256'));
        assert.equal((await getToken(as, { DPoP, authentication })).token_type, 'dpop');
      }
    });

    test('introspects and revokes', async () => {
      const as = await discovered();
      const DPoP = oauth.DPoP(CLIENT, await oauth.generateKeyPair('ES256'));
      const { access_token: accessToken } = await getToken(as, { DPoP });
      const resource: oauth.Client = { client_id: 'https://customers.example.com' };
      const introspect = async () =>
        oauth.processIntrospectionResponse(
          as,
          resource,
          await oauth.introspectionRequest(
            as,
            resource,
            oauth.PrivateKeyJwt(world().resourceKey.key),
            accessToken,
            INSECURE,
          ),
        );
      assert.equal((await introspect()).active, true);
      const authentication = oauth.PrivateKeyJwt(world().agentKey.key);
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(as, CLIENT, authentication, accessToken, INSECURE),
      );
      assert.equal((await introspect()).active, false);
    });

    test('validates a token and its proof as another resource server would (RFC 9068, RFC 9449)', async () => {
      const as = await discovered();
      const DPoP = oauth.DPoP(CLIENT, await oauth.generateKeyPair('Ed25519'));
      const { access_token: accessToken } = await getToken(as, { DPoP });
      const sent = Promise.withResolvers<Request>();
      await oauth.protectedResourceRequest(
        accessToken,
        'GET',
        new URL(world().customersUrl),
        undefined,
        undefined,
        {
          DPoP,
          ...INSECURE,
          [oauth.customFetch]: async (url: string, init: RequestInit) => {
            sent.resolve(new Request(url, init));
            return new Response();
          },
        } as oauth.ProtectedResourceRequestOptions,
      );
      const claims = await oauth.validateJwtAccessToken(
        as,
        await sent.promise,
        'https://customers.example.com',
        {
          requireDPoP: true,
          signingAlgorithms: ['EdDSA', 'Ed25519'],
          ...INSECURE,
        },
      );
      assert.equal(claims.client_id, AGENT);
      assert.equal(claims.scope, ACTION);
    });
  });
}
