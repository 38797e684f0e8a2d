/**
 * The feed of one verifier that hears nothing else, cut before each of its messages and within each, and with messages
 * that come again, late and in another order. It ends with everything that was revoked, and without an alarm.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { decodeJwt } from 'jose';
import { tokenHash } from '../../src/dpop/proof.ts';
import { createRevocationStore } from '../../src/revocations/revocation-store.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createVerifier, type Verifier, type VerifierOptions } from '../../src/verifier/index.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER } from '../test-broker.ts';
import { createFeedProxy, type Deliver } from './feed-proxy.ts';
import { CUSTOMERS, type Minted, READ_CUSTOMERS } from './fleet.ts';

/** In each run, one by one; the feed begins with a message of its own. */
const REVOCATIONS = 4;

const world = await createTestWorld();
const broker = await world.startBroker();
const agent = world.agent(broker, 'report-writer');
const proxy = await createFeedProxy(broker.url);
const ledger = createRevocationStore(world.owner, systemClock);

/** It began long ago: what a verifier refuses in its first seconds has its own test. */
function clockOfOldServer() {
  let isFirstReading = true;
  return {
    milliseconds() {
      const age = isFirstReading ? 60_000 : 0;
      isFirstReading = false;
      return systemClock.milliseconds() - age;
    },
    monotonicMilliseconds: systemClock.monotonicMilliseconds,
  };
}

/** With a lease, and connected to the feed; from here on it hears nothing but that. */
async function startListener(t: TestContext): Promise<Verifier> {
  proxy.loseQuestions(false);
  const verifier = createVerifier({
    issuer: TEST_ISSUER,
    brokers: [proxy.url],
    resource: CUSTOMERS,
    key: world.scopes.keys.get('customers') as VerifierOptions['key'],
    renewMilliseconds: 60_000,
    timeoutMilliseconds: 10_000,
    clock: clockOfOldServer(),
  });
  t.after(() => {
    proxy.loseQuestions(false);
    return verifier.close();
  });
  await verifier.ready();
  await until(() => verifier.status().feed === 'connected', 'it listens');
  proxy.loseQuestions(true);
  return verifier;
}

async function mint(): Promise<Minted> {
  const session = newSessionKey();
  const { body } = await agent.token(session, { scope: READ_CUSTOMERS.action });
  return { session, token: body.access_token, use: READ_CUSTOMERS };
}

async function say(verifier: Verifier, { session, token, use }: Minted): Promise<string> {
  const claims = { htm: 'GET', htu: use.url, ath: tokenHash(token), nonce: undefined };
  const answer = await verifier.verify(
    {
      method: 'GET',
      target: new URL(use.url).pathname,
      headers: [
        ['Authorization', `DPoP ${token}`],
        ['DPoP', agent.proof(session, { claims })],
      ],
      readArguments: () => undefined,
    },
    { action: use.action },
  );
  return answer.granted ? 'granted' : answer.reason;
}

async function revoke({ token }: Minted): Promise<number> {
  const target = { kind: 'session', id: String(decodeJwt(token).sid) } as const;
  const entry = { target, standing: false, reason: 'a journey', actor: 'test', requestId: undefined };
  const { epoch } = await ledger.append(entry);
  await world.query(`select pg_notify('mayfly_ledger', '')`);
  return epoch;
}

/** One by one, each heard before the next is made; who is not revoked passes all the while. */
async function revokeOneByOne(verifier: Verifier): Promise<void> {
  const spared = await mint();
  const revoked: Minted[] = [];
  let last = verifier.status().epoch;
  while (revoked.length < REVOCATIONS) {
    const victim = await mint();
    assert.equal(await say(verifier, victim), 'granted');
    const epoch = await revoke(victim);
    revoked.push(victim);
    await until(() => {
      const now = verifier.status().epoch;
      assert.ok(now >= last, 'it never goes back');
      last = now;
      return now >= epoch;
    }, `it has heard of ${epoch}`);
    assert.equal(verifier.status().alarm, null);
    for (const each of revoked) assert.equal(await say(verifier, each), 'token_revoked');
  }
  assert.equal(await say(verifier, spared), 'granted');
}

for (let before = 0; before <= REVOCATIONS; before += 1) {
  for (const where of ['before', 'within'] as const) {
    test(`the feed is cut ${where} its message ${before + 1}: nothing is missed, and half a message is none`, async (t) => {
      let messages = 0;
      const cut: Deliver = (event, way) => {
        messages += 1;
        if (messages !== before + 1) return way.send(event);
        if (where === 'within') way.send(event.slice(0, event.length / 2));
        way.cut();
      };
      proxy.deliverBy(cut);
      await revokeOneByOne(await startListener(t));
      assert.ok(messages > before + 1, 'it went on after that');
    });
  }
}

test('messages of the feed that come again, late and in another order, change nothing', async (t) => {
  const sent: string[] = [];
  let again = 0;
  proxy.deliverBy((event, { send }) => {
    sent.push(event);
    send(event);
    for (const old of sent.toReversed()) send(old);
    again += sent.length;
  });
  await revokeOneByOne(await startListener(t));
  assert.ok(again > REVOCATIONS * 2);
});

test('a message that comes before the one that it follows is asked for again, and nothing is skipped', async (t) => {
  let kept: string | null = null;
  let swapped = 0;
  proxy.deliverBy((event, { send }) => {
    if (kept === null) {
      kept = event;
      return;
    }
    swapped += 1;
    send(event);
    send(kept);
    kept = null;
  });
  const verifier = await startListener(t);
  const victims = [await mint(), await mint(), await mint()];
  const epochs: number[] = [];
  for (const victim of victims) {
    epochs.push(await revoke(victim));
    await until(async () => (await brokerEpoch()) >= (epochs.at(-1) ?? 0), 'the broker has told it');
  }
  await until(() => swapped > 0, 'two were swapped');
  assert.equal(verifier.status().alarm, null);
  proxy.deliverBy((event, { send }) => send(event));
  proxy.loseQuestions(false);
  const last = await revoke(await mint());
  await until(() => verifier.status().epoch >= last, 'it has everything');
  assert.equal(verifier.status().alarm, null);
  for (const each of victims) assert.equal(await say(verifier, each), 'token_revoked');
});

async function brokerEpoch(): Promise<number> {
  const text = await (await fetch(`${broker.metricsUrl}/metrics`)).text();
  return Number(/^mayfly_ledger_epoch (\d+)$/m.exec(text)?.[1]);
}
