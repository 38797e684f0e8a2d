import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { tokenHash } from '../../src/dpop/proof.ts';
import type { Clock } from '../../src/time/clock.ts';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { newSessionKey, nowSeconds } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { outcomeOf } from './fixture.ts';

/*
 * Real brokers on a real database, and a clock that a test moves instead of waiting.
 */
const world = await createTestWorld();
const broker = await world.startBroker();
const CUSTOMERS = 'https://customers.example.com';
const READ = { action: 'db:read:customers' };
const open: Verifier[] = [];
after(() => Promise.all(open.map((verifier) => verifier.close())));

/** The clock of this machine, moved: by `advance` as if time had passed, by `jump` as if somebody had set it. */
function createMovedClock(): Clock & { advance(seconds: number): void; jump(seconds: number): void } {
  let [wall, monotonic] = [0, 0];
  return {
    milliseconds: () => Date.now() + wall,
    monotonicMilliseconds: () => performance.now() + monotonic,
    advance(seconds) {
      wall += seconds * 1_000;
      monotonic += seconds * 1_000;
    },
    jump(seconds) {
      wall += seconds * 1_000;
    },
  };
}

async function startVerifier(options: Partial<VerifierOptions> = {}) {
  const clock = createMovedClock();
  const network = { isCut: false };
  const key = world.scopes.keys.get('customers') as VerifierOptions['key'];
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [broker.url],
    resource: CUSTOMERS,
    key,
    clock,
    renewMilliseconds: 100,
    timeoutMilliseconds: 10_000,
    fetch: (url, init) => (network.isCut ? Promise.reject(new TypeError('cut')) : fetch(url, init)),
    ...options,
  });
  open.push(verifier);
  await verifier.ready();
  return { verifier, clock, network };
}

async function openSession(by = broker) {
  const agent = world.agent(by, 'report-writer');
  const session = newSessionKey();
  const mint = async (): Promise<string> => (await agent.token(session)).body.access_token;
  /** Sends a token with a fresh proof, and with the nonce that the verifier asks for. */
  async function use(verifier: Verifier, token: string): Promise<string> {
    const send = (nonce: string | undefined) => {
      const url = `${CUSTOMERS}/customers`;
      const claims = { htm: 'GET', htu: url, ath: tokenHash(token), iat: nowSeconds(), nonce };
      const headers = { Authorization: `DPoP ${token}`, DPoP: agent.proof(session, { claims }) };
      return verifier.verifyRequest(new Request(url, { headers }), READ);
    };
    const first = await send(undefined);
    return outcomeOf(
      first.headers['DPoP-Nonce'] === undefined ? first : await send(first.headers['DPoP-Nonce']),
    );
  }
  return { mint, use };
}

const rowsOf = (instance: string) =>
  world.query<{ applied_epoch: string; closed: boolean; lease_seconds: number }>(
    'select applied_epoch, closed_at is not null as closed, lease_seconds from verifiers where instance = $1',
    [instance],
  );

describe('A verifier and real brokers', () => {
  test('A session that an operator ends is refused within a moment, and its agent may begin anew', async () => {
    const { verifier } = await startVerifier();
    const { mint, use } = await openSession();
    const token = await mint();
    assert.equal(await use(verifier, token), 'ok');
    const { sid } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const olivia = world.operator(broker, 'olivia');
    const revoked = await olivia.post(`/v1/sessions/${sid}/revoke`, 'mayfly:revoke:sessions', {
      reason: 'a test',
    });
    assert.equal(revoked.status, 200, revoked.text);
    await until(async () => (await use(verifier, token)) === 'invalid_token token_revoked', 'it is refused');
    const anew = await openSession();
    assert.equal(await anew.use(verifier, await anew.mint()), 'ok');
    const [row] = await world.query<{ epoch: string }>('select epoch from revocation_head');
    await until(
      async () => Number((await rowsOf(verifier.status().instance))[0]?.applied_epoch) >= Number(row?.epoch),
      'the broker knows that it is applied',
    );
  });

  test('Cut off from all brokers it stops HIGH after 3 s, MED after 30 s and LOW after 300 s', async () => {
    const { verifier, clock, network } = await startVerifier();
    const { mint, use } = await openSession();
    const token = await mint();
    assert.equal(await use(verifier, token), 'ok');
    network.isCut = true;
    const serving = () => Object.values(verifier.status().serving);
    assert.deepEqual(serving(), ['granted', 'granted', 'granted']);
    clock.advance(3);
    assert.deepEqual(serving(), ['granted', 'granted', 'lease_expired']);
    clock.advance(27);
    assert.deepEqual(serving(), ['granted', 'lease_expired', 'lease_expired']);
    clock.advance(270);
    assert.deepEqual(serving(), ['lease_expired', 'lease_expired', 'lease_expired']);
    clock.advance(-300);
    clock.jump(600);
    assert.equal(verifier.status().serving.LOW, 'lease_expired', 'whichever clock says so');
    clock.jump(-600);
    network.isCut = false;
    await verifier.ready();
    assert.equal(await use(verifier, token), 'ok');
  });

  test('With a wall clock that is ten minutes off it gets no lease, and decides nothing', async () => {
    const { verifier, clock } = await startVerifier();
    for (const seconds of [-600, 600]) {
      clock.jump(seconds);
      clock.advance(301);
      await assert.rejects(verifier.ready());
      assert.match(verifier.status().serving.LOW, /^(?:lease_expired|clock_differs)$/);
      clock.advance(-301);
      clock.jump(-seconds);
    }
    await verifier.ready();
  });

  test('Of two brokers one dies: what is revoked at the other one is refused, and minted there passes', async () => {
    const [first, second] = [await world.startBroker(), await world.startBroker()];
    const { verifier } = await startVerifier({ brokers: [first.url, second.url] });
    const dying = verifier.status().broker === first.url ? first : second;
    const living = dying === first ? second : first;
    const { mint, use } = await openSession(living);
    const token = await mint();
    assert.equal(await use(verifier, token), 'ok');
    await dying.stop();
    await until(() => verifier.status().broker === living.url, 'the other one is asked');
    await until(() => verifier.status().feed === 'connected', 'the other one feeds');
    assert.equal(await use(verifier, await mint()), 'ok');
    const agent = world.agent(living, 'report-writer');
    assert.equal((await agent.post('/oauth/revoke', agent.authenticated({ token }))).status, 200);
    await until(async () => (await use(verifier, token)) === 'invalid_token token_revoked', 'it is refused');
  });

  test('A restart is another instance: the old one says good-bye, and the new one loads everything itself', async () => {
    const before = await startVerifier();
    const { mint, use } = await openSession();
    const token = await mint();
    const agent = world.agent(broker, 'report-writer');
    await agent.post('/oauth/revoke', agent.authenticated({ token }));
    await before.verifier.close();
    assert.equal(await use(before.verifier, token), 'temporarily_unavailable verifier_closed');
    const { instance } = before.verifier.status();
    assert.equal((await rowsOf(instance))[0]?.closed, true);
    const { verifier } = await startVerifier();
    assert.notEqual(verifier.status().instance, instance);
    assert.equal(await use(verifier, token), 'invalid_token token_revoked');
    assert.equal(await use(verifier, await mint()), 'ok');
    const [row] = await rowsOf(verifier.status().instance);
    assert.equal(row?.closed, false);
    await until(
      async () => (await rowsOf(verifier.status().instance))[0]?.lease_seconds === 300,
      'LOW is declared',
    );
  });
});
