import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { describe, test } from 'node:test';
import * as mcp from '@modelcontextprotocol/client';
import { until } from '../broker-process.ts';
import { createTestAgent } from '../test-agent.ts';
import { ACTION, AGENT, type ClientWorld } from './client-world.ts';

/** What a client goes through that knows nothing but the URL of the resource. */
const FROM_NOTHING = [
  'GET /customers 401',
  'GET /.well-known/oauth-protected-resource 200',
  'GET /.well-known/oauth-authorization-server 200',
  'POST /oauth/token 400',
  'POST /oauth/token 200',
  'GET /customers 401',
  'GET /customers 200',
];

export function describeMcpClient(world: () => ClientWorld): void {
  describe('@modelcontextprotocol/client', () => {
    /** Its own provider for `private_key_jwt`, with DPoP turned on as its documentation says. */
    function createProvider() {
      const key = createPrivateKey({ key: world().agentKey.jwk, format: 'jwk' });
      const provider = new mcp.PrivateKeyJwtProvider({
        clientId: AGENT,
        privateKey: String(key.export({ format: 'pem', type: 'pkcs8' })),
        algorithm: 'ES256',
        expectedIssuer: world().issuer,
      });
      const session = mcp.DpopSession.create({ alg: 'ES256' });
      return Object.assign(provider, { dpop: () => session });
    }

    function createRecorder() {
      const exchanges: string[] = [];
      const bodies: string[] = [];
      const recording: mcp.FetchLike = async (url, init) => {
        const response = await fetch(url, init);
        exchanges.push(`${init?.method ?? 'GET'} ${new URL(url).pathname} ${response.status}`);
        if (init?.body !== undefined) bodies.push(String(init.body));
        return response;
      };
      return { exchanges, bodies, recording };
    }

    test('goes from the refusal of the resource to a token and back, by itself', async () => {
      const { customersUrl, resource } = world();
      const provider = createProvider();
      const { exchanges, bodies, recording } = createRecorder();
      const response = await mcp.withOAuth(provider, customersUrl)(recording)(customersUrl);
      assert.equal(response.status, 200);
      assert.deepEqual(exchanges, FROM_NOTHING);
      assert.equal(provider.tokens()?.token_type, 'DPoP');
      assert.equal(provider.tokens()?.scope, ACTION);
      const form = new URLSearchParams(bodies.at(-1));
      assert.equal(form.get('scope'), ACTION, 'the scope of the challenge');
      assert.equal(form.get('resource'), resource, 'as the metadata of the resource spells it');
    });

    test('gets a new token when its old one was revoked', async () => {
      const { customersUrl, issuer, agentKey } = world();
      const provider = createProvider();
      const { exchanges, recording } = createRecorder();
      const authorised = mcp.withOAuth(provider, customersUrl)(recording);
      await authorised(customersUrl);
      const revoker = createTestAgent({ url: issuer, issuer, clientId: AGENT, key: agentKey.jwk });
      await revoker.post('/oauth/revoke', revoker.authenticated({ token: provider.tokens()?.access_token }));
      const refused = 'GET /customers 401';
      await until(async () => {
        exchanges.length = 0;
        assert.equal((await authorised(customersUrl)).status, 200);
        return exchanges.includes(refused);
      }, 'the resource server hears of the revocation');
      assert.deepEqual(
        exchanges.filter((exchange) => !exchange.includes('.well-known')),
        [refused, 'POST /oauth/token 200', 'GET /customers 200'],
      );
    });

    test('takes the metadata of the broker and of the resource as valid', async () => {
      const { issuer, resource } = world();
      const metadata = await mcp.discoverAuthorizationServerMetadata(issuer);
      assert.deepEqual(metadata?.response_types_supported, ['none']);
      const described = await mcp.discoverOAuthProtectedResourceMetadata(resource);
      assert.deepEqual(described.scopes_supported, [ACTION]);
      assert.equal(described.resource, resource);
    });
  });
}
