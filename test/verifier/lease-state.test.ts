import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Sensitivity } from '../../src/revocations/ledger-message.ts';
import type { RevocationTarget } from '../../src/revocations/revocation.ts';
import { isDead } from '../../src/revocations/rule.ts';
import { createLeaseState, type LeaseAnswer } from '../../src/verifier/lease-state.ts';
import type { Moment } from '../../src/verifier/moment.ts';
import { LEASE_SECONDS } from '../../src/verifiers/lease-lengths.ts';
import { fc } from '../properties.ts';
import { revocable } from '../revocations/history.ts';
import { soakFactor } from '../soak.ts';
import { createPaperLedger } from './paper-ledger.ts';

const LEASES = { LOW: 300, MED: 30, HIGH: 3 } as const;
const SENSITIVITIES = Object.keys(LEASES) as Sensitivity[];
const START_MILLISECONDS = 1_800_000_000_000;
const NEVER = 9_999_999_999;

type Token = ReturnType<typeof revocable> & { jti: string };

const newToken = (epoch: number, name: string): Token => ({
  ...revocable({ at: 0, epoch, agent: 'reporter', actions: [], jti: name, sessionId: `s-${name}`, kid: 'k' }),
  jti: name,
});

/** One verifier, a ledger, and a network that keeps every message and forgets none. */
function createWorld(maxPageEntries = 1_000) {
  const ledger = createPaperLedger({ maxPageEntries });
  const clocks = { true: 0, wall: START_MILLISECONDS, monotonic: 5_000 };
  const tokens = [newToken(0, 'first')];
  /** True time at which an epoch was the newest for the first time. */
  const committedAt: { epoch: number; at: number }[] = [{ epoch: 0, at: 0 }];
  let instances = 1;
  let state = createLeaseState({ instance: 'ver_1' });
  let nonces = 0;
  let questions: Question[] = [];
  let answers: Answer[] = [];

  type Question = { instance: string; nonce: string; generation: number; epoch: number };
  type Answer =
    | { kind: 'answer'; answer: LeaseAnswer }
    | { kind: 'page'; page: LeaseAnswer['page']; signedBy: string };

  const now = (): Moment => ({ wall: clocks.wall, monotonic: clocks.monotonic });

  function advance(
    milliseconds: number,
    which: (keyof typeof clocks)[] = ['true', 'wall', 'monotonic'],
  ): void {
    for (const clock of which) clocks[clock] += milliseconds;
  }

  function revoke(target: RevocationTarget, standing = false): number {
    const epoch = ledger.append({ target, standing });
    committedAt.push({ epoch, at: clocks.true });
    return epoch;
  }

  function ask(): Question {
    nonces += 1;
    const nonce = `nonce-${nonces}`;
    const { generation, epoch } = state.ask({ nonce, sensitivities: SENSITIVITIES, at: now() });
    const question = { instance: `ver_${instances}`, nonce, generation, epoch };
    questions.push(question);
    return question;
  }

  /** A broker works a question off now. */
  function read(
    { instance, nonce, ...knows }: Question,
    brokerSeconds = wallOfBrokers(),
    bent: Partial<LeaseAnswer> = {},
  ): Answer {
    const page = ledger.pageFor(knows);
    const answer = {
      instance,
      nonce,
      iat: brokerSeconds,
      page,
      leases: LEASES,
      signedBy: 'ledger-1',
      ...bent,
    };
    answers.push({ kind: 'answer', answer });
    return { kind: 'answer', answer };
  }

  function send(page: LeaseAnswer['page'], signedBy = 'ledger-1'): Answer {
    const sent = { kind: 'page', page, signedBy } as const;
    answers.push(sent);
    return sent;
  }

  const deliver = (message: Answer) =>
    message.kind === 'answer'
      ? state.answer(message.answer, now())
      : state.take(message.page, message.signedBy);

  /** Brokers have the right time, in whole seconds. */
  const wallOfBrokers = () => Math.floor((START_MILLISECONDS + clocks.true) / 1_000);

  function catchUp(signedBy?: string): void {
    for (let pages = 0; pages < 100; pages += 1) {
      const missing = state.missing();
      if (missing === null) return;
      deliver(send(ledger.pageSince(missing), signedBy));
    }
  }

  return {
    ledger,
    clocks,
    tokens,
    now,
    advance,
    revoke,
    ask,
    read,
    send,
    deliver,
    catchUp,
    questions: () => questions,
    answers: () => answers,
    state: () => state,
    epochBefore: (at: number) => committedAt.findLast((entry) => entry.at <= at)?.epoch ?? 0,
    committedAt,

    mint(): void {
      tokens.push(newToken(ledger.head().epoch, `token-${tokens.length}`));
    },
    restart(): void {
      instances += 1;
      state = createLeaseState({ instance: `ver_${instances}` });
      // what was under way to the old one may still arrive
    },
    forgetMessages(): void {
      questions = [];
      answers = [];
    },
    /** One question, answered at once, and whatever it takes to get the rest. */
    round() {
      const heard = deliver(read(ask()));
      catchUp();
      return heard;
    },
    decide: (token: Token, sensitivity: Sensitivity, exp = NEVER) =>
      state.decide({ subject: token, exp, sensitivity }, now()),
  };
}

type World = ReturnType<typeof createWorld>;

type Step =
  | { do: 'advance'; milliseconds: number }
  | { do: 'suspend'; milliseconds: number }
  | { do: 'jump'; milliseconds: number }
  | {
      do: 'revoke';
      kind: 'token' | 'session' | 'all' | 'signing-key' | 'other';
      pick: number;
      standing: boolean;
    }
  | { do: 'release'; pick: number }
  | { do: 'raiseFloor'; back: number }
  | { do: 'mint' | 'ask' | 'round' | 'restart' | 'catchUp' | 'feedNow' }
  | { do: 'read' | 'deliver' | 'feed'; pick: number };

const durations = fc.constantFrom(1, 40, 700, 1_000, 2_500, 3_000, 9_000, 29_000, 31_000, 290_000, 301_000);

const stepOf = (clocks: 'jump' | 'suspend'): fc.Arbitrary<Step> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('advance' as const), milliseconds: durations }) },
    {
      weight: 1,
      arbitrary:
        clocks === 'jump'
          ? fc.record({
              do: fc.constant('jump' as const),
              milliseconds: fc.constantFrom(-600_000, -50_000, -3_000, 1_000, 40_000, 600_000),
            })
          : fc.record({ do: fc.constant('suspend' as const), milliseconds: durations }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('revoke' as const),
        kind: fc.constantFrom('token', 'session', 'all', 'signing-key', 'other'),
        pick: fc.nat(9),
        standing: fc.boolean(),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), pick: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('raiseFloor' as const), back: fc.nat(9) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constantFrom('mint', 'ask', 'round', 'round', 'restart', 'catchUp', 'feedNow'),
      }) as fc.Arbitrary<Step>,
    },
    {
      weight: 12,
      arbitrary: fc.record({
        do: fc.constantFrom('read' as const, 'deliver' as const, 'deliver' as const, 'feed' as const),
        pick: fc.nat(200),
      }),
    },
  );

function pickOf<Value>(values: readonly Value[], pick: number): Value | undefined {
  return values.at(-1 - (pick % Math.max(1, Math.min(values.length, 12))));
}

function take(world: World, step: Step): unknown {
  const { ledger, tokens, clocks } = world;
  const token = 'pick' in step ? tokens[step.pick % tokens.length] : undefined;
  switch (step.do) {
    case 'advance':
      return world.advance(step.milliseconds);
    case 'suspend':
      return world.advance(step.milliseconds, ['true', 'wall']);
    case 'jump':
      return world.advance(step.milliseconds, ['wall']);
    case 'revoke':
      return world.revoke(
        targetOf(step.kind, token?.jti ?? ''),
        step.standing && step.kind !== 'signing-key',
      );
    case 'release': {
      const standing = pickOf(ledger.standing(), step.pick);
      if (standing === undefined) return null;
      const { kind, target } = standing;
      const epoch = ledger.append({
        target: kind === 'all' ? { kind } : { kind, id: target },
        releases: standing.epoch,
      });
      return world.committedAt.push({ epoch, at: clocks.true });
    }
    case 'raiseFloor':
      return ledger.raiseFloor(ledger.head().epoch - step.back);
    case 'mint':
      return world.mint();
    case 'ask':
      return world.ask();
    case 'round':
      return world.round();
    case 'restart':
      return world.restart();
    case 'catchUp':
      return world.catchUp();
    case 'feedNow':
      return world.deliver(world.send(ledger.pageSince(world.state().position().epoch)));
    case 'feed':
      return world.send(ledger.pageSince(step.pick % (ledger.head().epoch + 1)));
    case 'read': {
      const question = pickOf(world.questions(), step.pick);
      return question === undefined ? null : world.read(question);
    }
    case 'deliver': {
      const message = pickOf(world.answers(), step.pick);
      return message === undefined ? null : world.deliver(message);
    }
  }
}

function targetOf(kind: (Step & { do: 'revoke' })['kind'], jti: string): RevocationTarget {
  if (kind === 'all') return { kind };
  if (kind === 'signing-key') return { kind, id: 'another-key' };
  if (kind === 'other') return { kind: 'agent', id: 'somebody-else' };
  return { kind, id: kind === 'token' ? jti : `s-${jti}` };
}

/**
 * The promise of the lease: what passes was alive in some ledger that was the ledger within the last lease. Nothing
 * here looks into the verifier: only true time, the ledger and what it decided.
 */
function assertPromise(world: World): void {
  const { ledger, tokens, clocks } = world;
  const newest = ledger.head().epoch;
  for (const sensitivity of SENSITIVITIES) {
    const oldest = world.epochBefore(clocks.true - LEASES[sensitivity] * 1_000);
    for (const token of tokens) {
      if (world.decide(token, sensitivity) !== 'granted') continue;
      const epochs = Array.from({ length: newest - oldest + 1 }, (_, index) => oldest + index);
      const wasAlive = epochs.some(
        (epoch) => !isDead(token, { entries: ledger.asRevocations(epoch), floor: 0 }),
      );
      assert.ok(wasAlive, `${token.jti} passed at ${sensitivity} though dead since before epoch ${oldest}`);
    }
  }
}

for (const clocks of ['jump', 'suspend'] as const) {
  test(`Whatever happens to messages and to clocks that ${clocks}, nothing passes later than its lease allows`, () => {
    fc.assert(
      fc.property(
        fc.array(stepOf(clocks), { maxLength: 60, size: 'max' }),
        fc.constantFrom(2, 3, 1_000),
        (steps, maxPageEntries) => {
          const world = createWorld(maxPageEntries);
          let state = world.state();
          let epoch = 0;
          for (const step of steps) {
            take(world, step);
            if (world.state() !== state) [state, epoch] = [world.state(), 0];
            assert.ok(state.position().epoch >= epoch, 'its epoch never goes down (L13)');
            epoch = state.position().epoch;
            assertPromise(world);
            const decision = world.state().readiness('LOW', world.now());
            assert.ok(
              decision !== 'ledger_forked' && decision !== 'ledger_rolled_back',
              'late messages are no rollback (L17)',
            );
          }
          assertServesAgain(world);
        },
      ),
      { numRuns: 1_000 * soakFactor() },
    );
  });
}

/** Refusing everything would keep every promise. */
function assertServesAgain(world: World): void {
  const { clocks } = world;
  const offMilliseconds = Math.abs(clocks.wall - START_MILLISECONDS - clocks.true);
  if (offMilliseconds > 58_000 && offMilliseconds < 63_000) return; // a minute, give or take
  const isRight = offMilliseconds < 60_000;
  world.round();
  if (!isRight) {
    world.advance(301_000);
    world.round();
    assert.equal(world.state().readiness('LOW', world.now()), 'clock_differs');
    return;
  }
  assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
  for (const token of world.tokens) {
    const dead = isDead(token, { entries: world.ledger.asRevocations(Number.MAX_SAFE_INTEGER), floor: 0 });
    if (dead) assert.equal(world.decide(token, 'HIGH'), 'token_revoked');
  }
  world.mint();
  const fresh = world.tokens.at(-1) ?? assert.fail();
  const dead = isDead(fresh, { entries: world.ledger.asRevocations(Number.MAX_SAFE_INTEGER), floor: 0 });
  assert.equal(world.decide(fresh, 'HIGH'), dead ? 'token_revoked' : 'granted');
}

test('A ledger that was rolled back is never believed again, until its head was moved to a new generation', () => {
  fc.assert(
    fc.property(
      fc.array(stepOf('suspend'), { maxLength: 25, size: 'max' }),
      fc.nat(5),
      fc.nat(8),
      fc.array(stepOf('suspend'), { maxLength: 15, size: 'max' }),
      (before, lost, regrown, after) => {
        const world = createWorld();
        for (const step of before) take(world, step);
        for (let count = 0; count <= lost; count += 1) world.revoke({ kind: 'session', id: `lost-${count}` });
        world.round();
        const known = world.state().position().epoch;
        const { ledger } = world;
        ledger.restoreTo(known - 1 - lost);
        for (let count = 0; count < regrown; count += 1)
          world.revoke({ kind: 'session', id: `new-${count}` });
        for (const step of after.filter((one) => one.do !== 'restart' && one.do !== 'raiseFloor')) {
          take(world, step);
          if (world.state().readiness('LOW', world.now()) !== 'granted') continue;
          const last = world.state().position();
          assert.equal(
            last.epoch,
            known,
            'it decides on what it knew, while its lease lasts, and on nothing else',
          );
        }
        world.round();
        assert.match(world.state().readiness('LOW', world.now()), /^ledger_(?:rolled_back|forked)$/);
        ledger.moveHead();
        world.round();
        assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
        assert.equal(world.state().position().generation, 2);
        for (const token of world.tokens) assert.equal(world.decide(token, 'HIGH'), 'token_revoked');
      },
    ),
    { numRuns: 500 * soakFactor() },
  );
});

describe('The lease', () => {
  test('Nothing is decided before a snapshot and a first lease, both asked for by itself (L13)', () => {
    const world = createWorld();
    const [token = assert.fail()] = world.tokens;
    assert.equal(world.decide(token, 'LOW'), 'lease_missing');
    world.deliver(world.send(world.ledger.pageSince(0)));
    assert.equal(world.decide(token, 'LOW'), 'lease_missing', 'a copy alone is not enough');
    const stranger = { ...world.ask(), nonce: 'of-somebody-else' };
    assert.equal(world.deliver(world.read(stranger)), 'unasked');
    const ofOthers = { ...world.ask(), instance: 'ver_other' };
    assert.equal(world.deliver(world.read(ofOthers)), 'unasked');
    assert.equal(world.decide(token, 'LOW'), 'lease_missing');
    world.round();
    assert.equal(world.decide(token, 'LOW'), 'granted');
  });

  test('It ends 3, 30 and 300 seconds after the moment of asking, however late the answer came (L15)', () => {
    for (const sensitivity of SENSITIVITIES) {
      const world = createWorld();
      const [token = assert.fail()] = world.tokens;
      const question = world.ask();
      world.advance(1_000);
      const answer = world.read(question);
      world.advance(1_000);
      world.deliver(answer);
      world.advance(LEASES[sensitivity] * 1_000 - 2_001);
      assert.equal(world.decide(token, sensitivity), 'granted');
      world.advance(1);
      assert.equal(world.decide(token, sensitivity), 'lease_expired');
      assert.equal(world.deliver(answer), 'unasked', 'the same answer again stretches nothing');
      assert.equal(world.decide(token, sensitivity), 'lease_expired');
    }
  });

  test('A clock that is set back stretches no lease, and a suspended machine wakes up without one', () => {
    const world = createWorld();
    const [token = assert.fail()] = world.tokens;
    world.round();
    world.advance(-500_000, ['wall']);
    world.advance(3_000);
    assert.equal(world.decide(token, 'HIGH'), 'lease_expired');
    const asleep = createWorld();
    asleep.round();
    asleep.advance(3_000, ['true', 'wall']);
    assert.equal(asleep.decide(token, 'HIGH'), 'lease_expired');
  });

  test('No lease is longer than the longest of what the question declared', () => {
    const world = createWorld();
    const [token = assert.fail()] = world.tokens;
    const question = world.state().ask({ nonce: 'n', sensitivities: ['HIGH'], at: world.now() });
    world.deliver(world.read({ instance: 'ver_1', nonce: 'n', ...question }));
    assert.equal(world.decide(token, 'LOW'), 'granted');
    world.advance(3_000);
    assert.equal(world.decide(token, 'LOW'), 'lease_expired');
  });

  test('No lease is longer than the longest that there are, whatever a broker grants', () => {
    const world = createWorld();
    const eternity = { LOW: 1_000_000_000, MED: 1_000_000_000, HIGH: 1_000_000_000 };
    world.deliver(world.read(world.ask(), undefined, { leases: eternity }));
    for (const sensitivity of SENSITIVITIES) {
      assert.equal(world.state().remaining(sensitivity, world.now()), LEASE_SECONDS[sensitivity] * 1_000);
    }
  });

  test('A lease ends with the key that signed it, also one that waits for its pages', () => {
    const world = createWorld(1);
    world.round();
    world.revoke({ kind: 'signing-key', id: 'ledger-2' });
    world.deliver(world.send(world.ledger.pageSince(0)));
    world.catchUp();
    assert.equal(world.state().readiness('LOW', world.now()), 'granted', 'another key');
    const { epoch } = world.state().position();
    world.revoke({ kind: 'token', id: 'x' });
    world.revoke({ kind: 'signing-key', id: 'ledger-1' });
    assert.equal(world.deliver(world.read(world.ask())), 'incomplete');
    assert.equal(world.state().readiness('LOW', world.now()), 'granted');
    world.catchUp();
    assert.equal(world.state().position().epoch, epoch + 2);
    for (const sensitivity of SENSITIVITIES) {
      assert.equal(world.state().readiness(sensitivity, world.now()), 'lease_missing');
    }
    world.deliver(world.read(world.ask(), undefined, { signedBy: 'ledger-3' }));
    world.catchUp('ledger-3');
    assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
  });

  test('What a stolen ledger key left out or made up is put right before anything is decided again', () => {
    for (const maxPageEntries of [1, 1_000]) {
      const world = createWorld(maxPageEntries);
      world.round();
      world.catchUp();
      const [killed, innocent] = [newToken(0, 'killed'), newToken(0, 'innocent')];
      world.revoke({ kind: 'token', id: 'killed' });
      const page = world.ledger.pageSince(0);
      const entries = page.entries.map((entry) => ({ ...entry, target: 'innocent' }));
      world.deliver(world.send({ ...page, snapshot: false, entries })); // the digests are the true ones
      assert.equal(world.decide(killed, 'LOW'), 'granted');
      assert.equal(world.decide(innocent, 'LOW'), 'token_revoked');
      world.revoke({ kind: 'signing-key', id: 'ledger-1' });
      world.deliver(world.read(world.ask(), undefined, { signedBy: 'ledger-2' }));
      assert.equal(world.decide(innocent, 'LOW'), 'lease_missing');
      assert.equal(world.state().isRevokedKey('ledger-1'), true);
      world.catchUp('ledger-2');
      assert.equal(world.state().missing(), null);
      assert.equal(world.decide(killed, 'LOW'), 'token_revoked');
      assert.equal(world.decide(innocent, 'LOW'), 'granted');
      assert.equal(world.state().isRevokedKey('ledger-1'), true);
    }
  });

  test('A verifier whose clock is minutes off decides nothing, and says why', () => {
    for (const minutes of [-10, 10]) {
      const world = createWorld();
      world.advance(minutes * 60_000, ['wall']);
      assert.equal(world.round(), 'clock_differs');
      assert.equal(world.state().readiness('LOW', world.now()), 'clock_differs');
      world.advance(-minutes * 60_000, ['wall']);
      world.round();
      assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
    }
  });

  test('An expired token is refused on the clock of the lease, which nobody can set back', () => {
    const world = createWorld();
    const [token = assert.fail()] = world.tokens;
    const exp = START_MILLISECONDS / 1_000 + 100;
    world.round();
    world.advance(99_999);
    assert.equal(world.decide(token, 'LOW', exp), 'granted');
    world.advance(-40_000, ['wall']);
    world.advance(1);
    assert.equal(world.decide(token, 'LOW', exp), 'token_time');
  });

  test('It counts only once everything up to the answered epoch is applied (L15)', () => {
    const world = createWorld(2);
    const [token = assert.fail()] = world.tokens;
    for (let count = 0; count < 5; count += 1) world.revoke({ kind: 'session', id: `s${count}` });
    world.revoke({ kind: 'token', id: token.jti });
    assert.equal(world.deliver(world.read(world.ask())), 'incomplete');
    assert.equal(world.decide(token, 'LOW'), 'lease_missing');
    world.catchUp();
    assert.equal(world.decide(token, 'LOW'), 'token_revoked');
  });

  test('After close nothing is decided any more', () => {
    const world = createWorld();
    const [token = assert.fail()] = world.tokens;
    world.round();
    world.state().close();
    assert.equal(world.decide(token, 'LOW'), 'verifier_closed');
    world.round();
    assert.equal(world.decide(token, 'LOW'), 'verifier_closed');
  });
});

describe('The ledger of a verifier', () => {
  test('Two ledgers that differ at one epoch are an alarm, at whatever epoch they differ (L17)', () => {
    for (const [known, claimed] of [
      [3, 3],
      [3, 5],
      [5, 3],
    ] as const) {
      const world = createWorld();
      const other = createPaperLedger();
      grow(world, known);
      for (let count = 0; count < claimed; count += 1)
        other.append({ target: { kind: 'zone', id: `z${count}` } });
      world.round();
      assert.equal(world.state().take(other.pageSince(0), 'ledger-1'), 'forked');
      world.round();
      assert.equal(world.state().readiness('LOW', world.now()), 'ledger_forked');
    }
  });

  test('An answer on its way while more was revoked is no rollback; one to a later question is', () => {
    const world = createWorld();
    grow(world, 3);
    world.round();
    const early = world.read(world.ask());
    grow(world, 2);
    world.deliver(world.send(world.ledger.pageSince(3)));
    assert.equal(world.deliver(early), 'nothing new');
    assert.equal(world.state().readiness('LOW', world.now()), 'granted');
    world.ledger.restoreTo(3);
    assert.equal(world.deliver(world.read(world.ask())), 'ledger_rolled_back');
    assert.equal(world.state().readiness('LOW', world.now()), 'ledger_rolled_back');
  });

  test('A rollback that is told when its generation is over is none of the next one', () => {
    const world = createWorld();
    grow(world, 3);
    world.round();
    world.ledger.restoreTo(2);
    const late = world.read(world.ask());
    world.ledger.moveHead();
    world.round();
    world.catchUp();
    assert.equal(world.deliver(late), 'broker_behind');
    world.round();
    assert.equal(world.state().readiness('LOW', world.now()), 'granted');
  });

  test('A page after a gap is not taken in, and what lies between is asked for', () => {
    const world = createWorld();
    grow(world, 3);
    world.round();
    grow(world, 3);
    assert.equal(world.deliver(world.send(world.ledger.pageSince(5))), 'incomplete');
    assert.equal(world.state().missing(), 3);
    world.catchUp();
    assert.equal(world.state().position().epoch, 6);
    assert.equal(world.state().missing(), null);
  });

  test('A new generation counts whole or not at all, and with a lease of its own', () => {
    const world = createWorld(2);
    const [token = assert.fail()] = world.tokens;
    grow(world, 3);
    world.round();
    world.ledger.moveHead();
    grow(world, 3);
    assert.equal(world.deliver(world.send(world.ledger.pageSince(0))), 'incomplete');
    assert.equal(world.decide(token, 'LOW'), 'lease_missing');
    world.catchUp();
    assert.equal(world.decide(token, 'LOW'), 'lease_missing');
    world.round();
    assert.equal(world.decide(token, 'LOW'), 'token_revoked');
  });

  test('An older answer that comes later takes nothing away', () => {
    const world = createWorld();
    const early = world.read(world.ask());
    world.advance(2_000);
    world.round();
    world.deliver(early);
    world.advance(2_000);
    assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
  });

  test('Who was away for so long that brokers have forgotten what it lacks loads a whole new copy', () => {
    const world = createWorld(2);
    grow(world, 3);
    world.round();
    grow(world, 5);
    world.ledger.raiseFloor(6);
    assert.equal(world.deliver(world.send(world.ledger.pageSince(3))), 'incomplete');
    assert.equal(world.state().missing(), 0);
    world.catchUp();
    assert.equal(world.state().position().epoch, 8);
    assert.equal(world.state().missing(), null);
  });

  test('What a broker says that still reads a database of an older generation changes nothing', () => {
    const world = createWorld();
    grow(world, 3);
    const old = world.ledger.pageSince(0);
    world.ledger.moveHead();
    world.round();
    const { nonce, instance } = world.ask();
    const iat = START_MILLISECONDS / 1_000;
    const answer = { nonce, instance, iat, page: old, leases: LEASES, signedBy: 'ledger-1' };
    assert.equal(world.state().answer(answer, world.now()), 'broker_behind');
    assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
    assert.equal(world.state().position().generation, 2);
  });

  test('The floor moves while a new copy is fetched: it is fetched anew, or a release would be missed', () => {
    const world = createWorld(2);
    const standing = world.revoke({ kind: 'all' }, true);
    grow(world, 1);
    world.ledger.append({ target: { kind: 'all' }, releases: standing });
    assert.equal(world.deliver(world.read(world.ask())), 'incomplete');
    world.ledger.raiseFloor(3);
    world.catchUp();
    world.mint();
    assert.equal(world.decide(world.tokens.at(-1) ?? assert.fail(), 'LOW'), 'granted');
  });

  test('A revoked signing key is known as soon as its entry is', () => {
    const world = createWorld();
    assert.equal(world.state().isRevokedKey('kid-1'), false);
    world.round();
    world.revoke({ kind: 'signing-key', id: 'kid-1' });
    world.round();
    assert.equal(world.state().isRevokedKey('kid-1'), true);
    assert.equal(world.state().isRevokedKey('kid-2'), false);
  });

  test('A copy that ends below the floor, with a late page, takes no signing key for a revoked one', () => {
    const world = createWorld(2);
    for (const id of ['one', 'two']) world.revoke({ kind: 'session', id }, true);
    world.revoke({ kind: 'session', id: 'three' });
    const late = world.send(world.ledger.pageSince(2));
    grow(world, 2);
    world.ledger.raiseFloor(4);
    world.deliver(world.send(world.ledger.pageSince(0)));
    world.deliver(late);
    assert.equal(world.state().position().epoch, 3);
    assert.equal(world.state().isRevokedKey('ledger-1'), false, 'or it would believe no broker ever again');
    world.round();
    assert.equal(world.state().readiness('HIGH', world.now()), 'granted');
  });

  test('The floor never falls, whatever snapshots come (L5)', () => {
    const world = createWorld();
    grow(world, 6);
    world.ledger.raiseFloor(4);
    world.round();
    const old = newToken(3, 'old');
    assert.equal(world.decide(old, 'LOW'), 'token_revoked');
    const fresh = createPaperLedger();
    for (let count = 0; count < 6; count += 1)
      fresh.append({ target: { kind: 'session', id: `grown-${count}` } });
    assert.equal(fresh.pageSince(0).floor, 0);
    world.deliver(world.send(fresh.pageSince(0)));
    assert.equal(world.decide(old, 'LOW'), 'token_revoked');
  });

  test('What no broker in its right mind says changes nothing', () => {
    const world = createWorld();
    grow(world, 4);
    world.round();
    const page = world.ledger.pageSince(4);
    for (const wrong of [
      { ...page, through: 3 },
      { ...page, through: 6, head: { ...page.head, epoch: 5 } },
      { ...page, through: 7, head: { epoch: 7, digest: 'b'.repeat(43) } },
    ]) {
      assert.equal(world.state().take(wrong, 'ledger-1'), 'unusable');
      assert.equal(world.state().position().epoch, 4);
    }
    world.deliver(world.read(world.ask()));
    grow(world, 3);
    world.round();
    assert.equal(world.state().position().epoch, 7);
  });
});

function grow(world: World, count: number): void {
  for (let left = count; left > 0; left -= 1) {
    world.revoke({ kind: 'session', id: `grown-${world.ledger.head().epoch}` });
  }
}
