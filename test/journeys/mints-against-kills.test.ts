/*
 * Many mints at two brokers, against revocations and kills of every kind, with verifiers in three processes. Whatever
 * raced carries an older epoch and is dead on arrival; nobody has to win a race for that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';

/** The whole of it, 5,000 against 50, takes three quarters of a minute of a processor, and is the soak's. */
const [MINTS, STOPS] = soakFactor() === 1 ? [2_000, 20] : [5_000, 50];
const WORKERS = 24;
const BATCH = 100;
const ZONES: Readonly<Record<string, string>> = {
  'report-writer': 'analytics',
  'support-assistant': 'support',
};
const NAMES = Object.keys(ZONES);

type Claims = { jti: string; sid: string; client_id: string; sub: string; epoch: number };
type Raced = Minted & { claims: Claims; askedAt: number };
/** `answeredAt` … `releasedAt`: while it stood, and whoever engaged it knew. */
type Stop = { kind: string; id: string; epoch: number; answeredAt: number; releasedAt: number };

const fleet = await createFleet({ verifiers: [1, 2, 3].map(() => ({ resource: CUSTOMERS })) });
const operators = [fleet.operator('olivia', 0), fleet.operator('omar', 1)] as const;

function hits({ kind, id }: Stop, { claims }: Raced): boolean {
  const named: Readonly<Record<string, string>> = {
    token: claims.jti,
    session: claims.sid,
    agent: claims.client_id,
    subject: claims.sub,
    zone: ZONES[claims.client_id] ?? '',
    action: READ_CUSTOMERS.action,
    resource: CUSTOMERS,
    all: '',
  };
  return named[kind] === id;
}

/** `mayMint`: how many by now, so that mints are under way at every stop. */
type Race = { raced: Raced[]; mayMint: number };

async function mintMany(race: Race): Promise<void> {
  const { raced } = race;
  async function work(worker: number): Promise<void> {
    const agent = fleet.world.agent(
      { url: fleet.urls[worker % 2] ?? '' },
      NAMES[worker % NAMES.length] ?? '',
    );
    let session = newSessionKey();
    while (raced.length < MINTS) {
      await until(() => raced.length < race.mayMint || raced.length >= MINTS, 'another stop', 60_000);
      const askedAt = performance.now();
      const { status, body } = await agent.token(session, { scope: READ_CUSTOMERS.action });
      if (status === 200) {
        const token: string = body.access_token;
        raced.push({ session, token, use: READ_CUSTOMERS, claims: decodeJwt<Claims>(token), askedAt });
      } else {
        assert.ok(
          ['session_ended', 'agent_stopped'].includes(body.code),
          `${status} ${JSON.stringify(body)}`,
        );
        if (body.code === 'session_ended') session = newSessionKey();
      }
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
}

const KINDS = ['session', 'agent', 'all', 'token', 'zone', 'subject', 'action', 'resource'];

/** One after the other, each in the middle of mints: ordinary revocations, and kills that are released again. */
async function stopMany(race: Race): Promise<Stop[]> {
  const { raced } = race;
  const stops: Stop[] = [];
  while (stops.length < STOPS) {
    await until(() => raced.length >= race.mayMint - WORKERS, 'mints go on', 60_000);
    const victim = raced[raced.length - 1 - (stops.length % 5)];
    assert.ok(victim);
    race.mayMint += Math.floor(MINTS / (STOPS + 2));
    stops.push(await stop(KINDS[stops.length % KINDS.length] ?? '', victim));
  }
  race.mayMint = MINTS;
  return stops;
}

async function stop(kind: string, { claims, ...victim }: Raced): Promise<Stop> {
  const [olivia, omar] = operators;
  const reason = 'a race';
  if (kind === 'session' || kind === 'token') {
    const id = kind === 'session' ? claims.sid : claims.jti;
    const { status, body, text } = await olivia.post(`/v1/${kind}s/${id}/revoke`, `mayfly:revoke:${kind}s`, {
      reason,
    });
    assert.ok(status < 300, text);
    return {
      kind,
      id,
      epoch: body.epoch,
      answeredAt: performance.now(),
      releasedAt: Number.POSITIVE_INFINITY,
    };
  }
  const ids: Readonly<Record<string, string>> = {
    agent: claims.client_id,
    subject: claims.sub,
    zone: ZONES[claims.client_id] ?? '',
    action: READ_CUSTOMERS.action,
    resource: CUSTOMERS,
  };
  const id = ids[kind] ?? '';
  const target = kind === 'all' ? { kind } : { kind, id };
  const killed = await olivia.post('/v1/kill-switch', 'mayfly:engage:kill-switch', {
    target,
    reason,
    wait_seconds: 20,
  });
  const answeredAt = performance.now();
  assert.equal(killed.status, 200, killed.text);
  assert.deepEqual([...new Set(await fleet.everywhere(victim))], ['token_revoked']);
  const releasedAt = performance.now();
  const path = `/v1/kill-switch/${killed.body.id}/release`;
  const released = await omar.post(path, 'mayfly:release:kill-switch', { reason });
  assert.ok(released.status < 300, released.text);
  return { kind, id, epoch: killed.body.epoch, answeredAt, releasedAt };
}

async function caughtUp(): Promise<void> {
  const [head] = await fleet.world.query<{ epoch: string }>('select epoch from revocation_head');
  await until(async () => {
    const said = (await Promise.all(fleet.verifiers.map((each) => each.status()))).flat();
    return said.every(({ epoch }) => epoch >= Number(head?.epoch));
  }, 'every verifier has applied everything');
}

test(`RAC-06: ${MINTS} mints against ${STOPS} revocations and kills: no token with an older epoch passes, none minted after a kill`, async () => {
  const race: Race = { raced: [], mayMint: Math.floor(MINTS / (STOPS + 2)) };
  const [stops] = await Promise.all([stopMany(race), mintMany(race)]);
  await caughtUp();

  const count = { refused: 0, granted: 0 };
  for (let start = 0; start < race.raced.length; start += BATCH) {
    const some = race.raced.slice(start, start + BATCH);
    const said = await Promise.all(fleet.verifiers.map((each) => each.decide(some.map(fleet.asked))));
    for (const [index, each] of some.entries()) {
      const hitting = stops.filter((stopped) => hits(stopped, each));
      const isOld = hitting.some(({ epoch }) => epoch > each.claims.epoch);
      const isLate = hitting.some(
        (stopped) => each.askedAt > stopped.answeredAt && each.askedAt < stopped.releasedAt,
      );
      assert.ok(!isLate || isOld, 'asked for while a kill stood, and minted all the same');
      const outcomes = said.map((instances) => instances[index]?.[0]);
      assert.deepEqual([...new Set(outcomes)], [isOld ? 'token_revoked' : 'granted'], each.claims.jti);
      count[isOld ? 'refused' : 'granted'] += 1;
    }
  }
  assert.ok(count.refused > 0 && count.granted > 0, JSON.stringify(count));
});
