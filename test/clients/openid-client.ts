import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as client from 'openid-client';
import { until } from '../broker-process.ts';
import { ACTION, AGENT, type ClientWorld } from './client-world.ts';

export function describeOpenidClient(world: () => ClientWorld): void {
  describe('openid-client', () => {
    async function configured(clientId: string, key: Parameters<typeof client.PrivateKeyJwt>[0]) {
      return client.discovery(new URL(world().issuer), clientId, undefined, client.PrivateKeyJwt(key), {
        algorithm: 'oauth2',
        execute: [client.allowInsecureRequests],
      });
    }

    const asAgent = () => configured(AGENT, world().agentKey.key);

    test('finds the broker, gets a token through a nonce challenge, calls, introspects and revokes', async () => {
      const { resource, customersUrl, resourceKey } = world();
      const config = await asAgent();
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
      const tokens = await client.clientCredentialsGrant(config, { scope: ACTION, resource }, { DPoP });
      assert.equal(tokens.token_type, 'dpop');
      assert.equal(tokens.scope, ACTION);
      assert.equal(tokens.expires_in, 300);
      assert.match(String(tokens.session_id), /^ses_/);

      const call = () =>
        client.fetchProtectedResource(
          config,
          tokens.access_token,
          new URL(customersUrl),
          'GET',
          null,
          new Headers(),
          { DPoP },
        );
      assert.equal((await call()).status, 200);
      assert.equal((await call()).status, 200);

      const asResource = await configured('https://customers.example.com', resourceKey.key);
      const introspected = await client.tokenIntrospection(asResource, tokens.access_token);
      assert.equal(introspected.active, true);
      assert.equal(introspected.client_id, AGENT);
      assert.equal(introspected.token_type, 'DPoP');

      await client.tokenRevocation(config, tokens.access_token);
      assert.deepEqual(await client.tokenIntrospection(asResource, tokens.access_token), { active: false });
      let refused: unknown;
      await until(async () => {
        refused = await call().then(
          () => undefined,
          (error: unknown) => error,
        );
        return refused !== undefined;
      }, 'the resource server hears of the revocation');
      assert.ok(refused instanceof client.WWWAuthenticateChallengeError);
      assert.equal(refused.status, 401);
      assert.equal(refused.cause[0]?.scheme, 'dpop');
      assert.equal(refused.cause[0]?.parameters.error, 'invalid_token');
    });

    test('gets tokens with Ed25519 session keys, under the name of its choice', async () => {
      const config = await asAgent();
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('Ed25519'));
      const tokens = await client.clientCredentialsGrant(config, { scope: ACTION }, { DPoP });
      const { status } = await client.fetchProtectedResource(
        config,
        tokens.access_token,
        new URL(world().customersUrl),
        'GET',
        null,
        new Headers(),
        { DPoP },
      );
      assert.equal(status, 200);
    });

    test('is told the error of the body when an action is not granted', async () => {
      const config = await asAgent();
      const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
      await assert.rejects(
        client.clientCredentialsGrant(config, { scope: 'db:delete:customers' }, { DPoP }),
        (error: client.ResponseBodyError) => error.status === 400 && error.error === 'invalid_scope',
      );
    });
  });
}
