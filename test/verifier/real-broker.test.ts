import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { tokenHash } from '../../src/dpop/proof.ts';
import { systemClock } from '../../src/time/clock.ts';
import {
  createVerifier,
  digestOfArguments,
  type ResourceRequest,
  type VerifierOptions,
} from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { newSessionKey, type TestAgent } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { outcomeOf } from './fixture.ts';

const world = await createTestWorld();
const broker = await world.startBroker();
const CUSTOMERS = 'https://customers.example.com';
const STORAGE = 'https://storage.example.com';

/** Older than any proof of today: what it does in its first seconds has its own test. */
const startedLongAgo = () => {
  let started = true;
  return {
    ...systemClock,
    milliseconds() {
      const milliseconds = Date.now() - (started ? 60_000 : 0);
      started = false;
      return milliseconds;
    },
  };
};

function verifierFor(resource: string, file: string, options: Partial<VerifierOptions> = {}) {
  const key = world.scopes.keys.get(file);
  return createVerifier({
    issuer: TEST_ISSUER,
    resource,
    key: key as VerifierOptions['key'],
    brokers: [broker.url],
    clock: startedLongAgo(),
    timeoutMilliseconds: 10_000,
    ...options,
  });
}

const customers = verifierFor(CUSTOMERS, 'customers');
const storage = verifierFor(STORAGE, 'storage');
await Promise.all([customers.ready(), storage.ready()]);
after(() => Promise.all([customers.close(), storage.close()]));
const agent = world.agent(broker, 'report-writer');
const session = newSessionKey();

type Sent = { method: string; url: string; body?: unknown };

function request(accessToken: string, { method, url, body }: Sent, by: TestAgent = agent): ResourceRequest {
  const dpop = by.proof(session, {
    claims: { htm: method, htu: url, ath: tokenHash(accessToken), nonce: undefined },
  });
  const { pathname, search } = new URL(url);
  return {
    method,
    target: `${pathname}${search}`,
    headers: [
      ['Authorization', `DPoP ${accessToken}`],
      ['DPoP', dpop],
    ],
    readArguments: () => body,
  };
}

const LIST: Sent = { method: 'GET', url: `${CUSTOMERS}/customers` };
const READ = { action: 'db:read:customers' };
const EXPORT: Sent = { method: 'POST', url: `${STORAGE}/exports`, body: { name: 'weekly', format: 'csv' } };
const WRITE = { action: 'storage:write:exports', requestToken: true };

const sessionToken = async () => (await agent.token(session)).body.access_token;

async function exportToken(call: object = {}) {
  const details = {
    type: 'mayfly_call',
    action: WRITE.action,
    method: EXPORT.method,
    url: EXPORT.url,
    arguments_digest: digestOfArguments(EXPORT.body),
    ...call,
  };
  const answer = await agent.token(session, {
    scope: undefined,
    authorization_details: JSON.stringify([details]),
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.body.access_token;
}

describe('A verifier and a real broker', () => {
  test('A minted token passes, and is refused within a moment after the agent revoked it', async () => {
    const accessToken = await sessionToken();
    assert.equal(outcomeOf(await customers.verify(request(accessToken, LIST), READ)), 'ok');
    const revoked = await agent.post('/oauth/revoke', agent.authenticated({ token: accessToken }));
    assert.equal(revoked.status, 200);
    await until(
      async () => outcomeOf(await customers.verify(request(accessToken, LIST), READ)) !== 'ok',
      'the revoked token is refused',
    );
    assert.equal(
      outcomeOf(await customers.verify(request(accessToken, LIST), READ)),
      'invalid_token token_revoked',
    );
    assert.equal(outcomeOf(await customers.verify(request(await sessionToken(), LIST), READ)), 'ok');
  });

  test('A token for one resource is none for another', async () => {
    const accessToken = await sessionToken();
    const elsewhere = request(accessToken, { method: 'GET', url: `${STORAGE}/exports` });
    assert.equal(outcomeOf(await storage.verify(elsewhere, WRITE)), 'invalid_token token_audience');
  });

  test('A request token passes once; of ten uses at once exactly one passes', async () => {
    const accessToken = await exportToken();
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, async () =>
        outcomeOf(await storage.verify(request(accessToken, EXPORT), WRITE)),
      ),
    );
    assert.deepEqual(outcomes.toSorted(), [...Array(9).fill('invalid_token token_spent'), 'ok']);
  });

  test('A request token with other arguments is refused and stays good for its own', async () => {
    const accessToken = await exportToken();
    const other = request(accessToken, { ...EXPORT, body: { name: 'all', format: 'csv' } });
    assert.equal(outcomeOf(await storage.verify(other, WRITE)), 'invalid_token call_of_other_arguments');
    assert.equal(outcomeOf(await storage.verify(request(accessToken, EXPORT), WRITE)), 'ok');
  });

  test('A revoked request token cannot be used', async () => {
    const accessToken = await exportToken();
    await agent.post('/oauth/revoke', agent.authenticated({ token: accessToken }));
    // Whoever knows of it first: the copy here, or the database that is asked to spend it.
    assert.match(
      outcomeOf(await storage.verify(request(accessToken, EXPORT), WRITE)),
      /^invalid_token token_(?:revoked|inactive)$/,
    );
  });

  test('A resource server with a key that is not its own gets 503, never a yes', async () => {
    const impostor = verifierFor(CUSTOMERS, 'storage');
    await assert.rejects(impostor.ready(), /broker_refuses/);
    const verification = await impostor.verify(request(await sessionToken(), LIST), READ);
    assert.equal(outcomeOf(verification), 'temporarily_unavailable lease_missing');
    await impostor.close();
  });
});
