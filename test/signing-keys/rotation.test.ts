import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  isInUse,
  KEY_PURPOSES,
  type KeyTimes,
  maySign,
  OVERLAP_SECONDS,
  stateOf,
  VERIFIER_SKEW_SECONDS,
  withRetirement,
} from '../../src/signing-keys/key-state.ts';
import { planRotation, type RotationDemand } from '../../src/signing-keys/plan-rotation.ts';
import {
  checkRotationPolicy,
  MAX_COPY_AGE_SECONDS,
  DEFAULT_ROTATION_POLICY as POLICY,
} from '../../src/signing-keys/rotation-policy.ts';
import { fc } from '../properties.ts';
import { type ModelRing, modelRing } from './model-ring.ts';

const LIFETIME = POLICY.tokenLifetimeSeconds;

/** Days of a ring's life, with brokers that poll late, people who press buttons, and clocks that move. */
const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('wait'), seconds: fc.integer({ min: 0, max: 120 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait'), seconds: fc.integer({ min: 0, max: 90_000 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('poll'), seconds: fc.constant(0) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('paused poll'), seconds: fc.integer({ min: 1, max: 5_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rotate'), seconds: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rotate at once'), seconds: fc.constant(0) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('mint'),
      seconds: fc.integer({ min: 0, max: MAX_COPY_AGE_SECONDS }),
    }),
  },
);
const LONG = { minLength: 1, maxLength: 60, size: 'max' } as const;
const events = fc.array(event, LONG);
const withRevocations = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: event },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke'), seconds: fc.nat() }) },
  ),
  LONG,
);

type Event = { kind: string; seconds: number };

function happen(ring: ModelRing, { kind, seconds }: Event): void {
  const demand = (immediately: boolean): RotationDemand => ({ purpose: 'token', immediately });
  if (kind === 'wait') ring.wait(seconds);
  if (kind === 'poll') ring.poll();
  if (kind === 'paused poll') ring.pausedPoll(seconds);
  if (kind === 'rotate') ring.rotate(demand(false));
  if (kind === 'rotate at once') ring.rotate(demand(true));
  if (kind === 'mint') ring.mint(seconds);
  if (kind === 'revoke') ring.revoke(seconds);
}

/** Runs a life and calls `check` after everything that happens in it. */
function live(story: readonly Event[], check: (ring: ModelRing) => void): void {
  const ring = modelRing(POLICY);
  ring.poll();
  for (const each of story) {
    happen(ring, each);
    check(ring);
  }
}

describe('the life of a signing key', () => {
  it('has exactly one active key of each purpose at every moment, as long as none is revoked', () => {
    fc.assert(
      fc.property(events, (story) => {
        live(story, (ring) => {
          for (const purpose of KEY_PURPOSES) {
            const active = ring.states().filter((key) => key.purpose === purpose && key.state === 'active');
            assert.equal(active.length, 1, `${active.length} active ${purpose} keys`);
          }
        });
      }),
    );
  });

  it('never has two active keys, and has one again after the first poll that follows a revocation', () => {
    fc.assert(
      fc.property(withRevocations, (story) => {
        live(story, (ring) => {
          const active = () =>
            ring.states().filter((key) => key.purpose === 'token' && key.state === 'active');
          assert.ok(active().length <= 1);
          if (active().length === 0) ring.poll();
          assert.equal(active().length, 1);
        });
      }),
    );
  });

  it('publishes every key for the whole lead before it signs, unless it was wanted at once', () => {
    fc.assert(
      fc.property(withRevocations, (story) => {
        live(story, (ring) => {
          for (const key of ring.states().filter(({ kid }) => !ring.wasWantedAtOnce(kid))) {
            const led = key.activeFromMilliseconds - key.publishedAtMilliseconds;
            assert.ok(led >= POLICY.publicationLeadSeconds * 1000, `published only ${led} ms before use`);
          }
        });
      }),
    );
  });

  it('keeps a key published until everything that it signed has died for the slowest verifier', () => {
    fc.assert(
      fc.property(withRevocations, (story) => {
        live(story, (ring) => {
          for (const { kid, atMilliseconds } of ring.minted()) {
            const key = ring.states().find((candidate) => candidate.kid === kid);
            const dies = atMilliseconds + (LIFETIME + VERIFIER_SKEW_SECONDS) * 1000;
            if (key === undefined || key.state === 'revoked' || ring.now() >= dies) continue;
            assert.ok(key.state !== 'removed' && !key.isErased, `${key.state} while a token of it lives`);
          }
        });
      }),
    );
  });

  it('never lets a broker choose a key that may not sign, however old its copy of the ring may be', () => {
    fc.assert(
      fc.property(events, (story) => {
        live(story, (ring) => assert.deepEqual(ring.refusedMints(), []));
      }),
    );
  });

  it('has nothing left to do after a poll', () => {
    fc.assert(
      fc.property(withRevocations, (story) => {
        live(story, (ring) => {
          ring.poll();
          assert.deepEqual(planRotation(ring.keys(), ring.now(), POLICY), []);
        });
      }),
    );
  });

  it('loses its secret once it is out of use, and not before', () => {
    fc.assert(
      fc.property(withRevocations, (story) => {
        live(story, (ring) => {
          ring.poll();
          for (const { state, isErased } of ring.states()) {
            assert.equal(isErased, state === 'removed' || state === 'revoked');
          }
        });
      }),
    );
  });

  it('is never in use beside more than nineteen others of its purpose, however often somebody rotates', () => {
    const hammering = fc.oneof(
      fc.record({ kind: fc.constantFrom('rotate', 'rotate at once', 'poll'), seconds: fc.constant(0) }),
      fc.record({ kind: fc.constant('wait'), seconds: fc.integer({ min: 1, max: OVERLAP_SECONDS }) }),
      fc.record({ kind: fc.constant('revoke'), seconds: fc.nat() }),
    );
    fc.assert(
      fc.property(fc.array(hammering, { minLength: 100, maxLength: 200, size: 'max' }), (story) => {
        live(story, (ring) => {
          const inUse = ring.states().filter((key) => key.purpose === 'token' && isInUse(key.state));
          assert.ok(inUse.length <= 20, `${inUse.length} keys in use`);
        });
      }),
    );
    const ring = modelRing(POLICY);
    for (let second = 0; second < 3_600; second += 1) {
      ring.wait(1);
      ring.poll();
      ring.rotate({ purpose: 'token', immediately: true });
      assert.ok(ring.states().filter((key) => key.purpose === 'token' && isInUse(key.state)).length <= 20);
    }
  });

  it('goes from published to removed at the documented seconds', () => {
    const first = key({ generation: 1, activeFromSeconds: 0 });
    const second = key({ generation: 2, activeFromSeconds: 1_000, publishedAtSeconds: 100 });
    const [one, two] = withRetirement([first, second]);
    assert.ok(one && two);
    const at = (seconds: number) => [
      stateOf(one, seconds * 1000, LIFETIME),
      stateOf(two, seconds * 1000, LIFETIME),
    ];
    assert.deepEqual(at(999.999), ['active', 'published']);
    assert.deepEqual(at(1_000), ['overlapping', 'active']);
    assert.deepEqual(at(1_000 + OVERLAP_SECONDS - 0.001), ['overlapping', 'active']);
    assert.deepEqual(at(1_000 + OVERLAP_SECONDS), ['retired', 'active']);
    assert.deepEqual(at(1_000 + OVERLAP_SECONDS + 959.999), ['retired', 'active']);
    assert.deepEqual(at(1_000 + OVERLAP_SECONDS + 960), ['removed', 'active']);
  });

  it('signs only while active or overlapping', () => {
    const states = ['published', 'active', 'overlapping', 'retired', 'removed', 'revoked'] as const;
    assert.deepEqual(states.filter(maySign), ['active', 'overlapping']);
  });
});

describe('rotation on demand', () => {
  it('adds one successor however often it is asked for', () => {
    const ring = modelRing(POLICY);
    ring.poll();
    for (let time = 0; time < 5; time += 1) ring.rotate({ purpose: 'token', immediately: false });
    assert.deepEqual(
      ring
        .states()
        .filter((key) => key.purpose === 'token')
        .map((key) => key.state),
      ['active', 'published'],
    );
  });

  it('lets the key that waits sign at once rather than make another', () => {
    const ring = modelRing(POLICY);
    ring.poll();
    ring.rotate({ purpose: 'token', immediately: false });
    ring.rotate({ purpose: 'token', immediately: true });
    assert.deepEqual(
      ring
        .states()
        .filter((key) => key.purpose === 'token')
        .map((key) => key.state),
      ['overlapping', 'active'],
    );
  });

  it('leaves the other purposes alone', () => {
    const ring = modelRing(POLICY);
    ring.poll();
    ring.rotate({ purpose: 'nonce', immediately: true });
    assert.deepEqual(
      ring.states().map((key) => `${key.purpose} ${key.generation} ${key.state}`),
      ['token 1 active', 'ledger 1 active', 'nonce 1 overlapping', 'log 1 active', 'nonce 2 active'],
    );
  });
});

describe('the policy of rotation', () => {
  it('is accepted as it is by default', () => {
    assert.deepEqual(checkRotationPolicy(POLICY), POLICY);
  });

  it('names every value that would break a promise of the ring', () => {
    assert.throws(
      () =>
        checkRotationPolicy({ rotationSeconds: 60, publicationLeadSeconds: 10, tokenLifetimeSeconds: 901 }),
      /publicationLeadSeconds.*330.*rotationSeconds.*tokenLifetimeSeconds.*900/,
    );
    for (const broken of [Number.NaN, 0.5, -1, Number.POSITIVE_INFINITY]) {
      assert.throws(() => checkRotationPolicy({ ...POLICY, rotationSeconds: broken }), /rotationSeconds/);
    }
  });

  it('stops a broker with an old copy before the overlap ends', () => {
    assert.ok(MAX_COPY_AGE_SECONDS < OVERLAP_SECONDS);
  });
});

function key({
  generation,
  activeFromSeconds,
  publishedAtSeconds = activeFromSeconds,
}: {
  generation: number;
  activeFromSeconds: number;
  publishedAtSeconds?: number;
}): KeyTimes {
  return {
    kid: `key-${generation}`,
    purpose: 'token',
    generation,
    publishedAtMilliseconds: publishedAtSeconds * 1000,
    activeFromMilliseconds: activeFromSeconds * 1000,
    revokedAtMilliseconds: null,
    isErased: false,
  };
}
