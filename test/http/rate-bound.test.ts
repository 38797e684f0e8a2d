import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Refusal } from '../../src/errors/refusal.ts';
import { createRequestBounds, RATE_LIMITS } from '../../src/http/rate-bound.ts';
import { createBuckets } from '../../src/http/token-bucket.ts';
import { fc } from '../properties.ts';

const from = (network: string) => ({ address: network, network });

function clockAt(start = 0) {
  let now = start;
  return {
    milliseconds: () => now,
    monotonicMilliseconds: () => now,
    advance: (milliseconds: number) => {
      now += milliseconds;
    },
  };
}

/** How many of `count` tries pass. */
function passing(count: number, attempt: () => void): number {
  let passed = 0;
  for (let round = 0; round < count; round += 1) {
    try {
      attempt();
      passed += 1;
    } catch (error) {
      assert.ok(error instanceof Refusal && error.status === 429, `${error}`);
    }
  }
  return passed;
}

function refusalOf(attempt: () => void): Refusal {
  try {
    attempt();
  } catch (error) {
    assert.ok(error instanceof Refusal);
    return error;
  }
  throw new Error('nothing was refused');
}

describe('A source', () => {
  test('may ask ten thousand times at once and then five thousand times a second', () => {
    const clock = clockAt();
    const bounds = createRequestBounds({ clock });
    assert.equal(
      passing(20_000, () => bounds.admit(from('192.0.2.1'))),
      10_000,
    );
    clock.advance(1_000);
    assert.equal(
      passing(20_000, () => bounds.admit(from('192.0.2.1'))),
      5_000,
    );
    clock.advance(3_600_000);
    assert.equal(
      passing(20_000, () => bounds.admit(from('192.0.2.1'))),
      10_000,
    );
  });

  test('does not use up what belongs to another', () => {
    const bounds = createRequestBounds({ clock: clockAt() });
    passing(20_000, () => bounds.admit(from('192.0.2.1')));
    assert.equal(
      passing(1, () => bounds.admit(from('192.0.2.2'))),
      1,
    );
  });

  test('is told when to come back', () => {
    const bounds = createRequestBounds({
      clock: clockAt(),
      limits: { sourceRequests: { perSecond: 0.1, burst: 1 } },
    });
    bounds.admit(from('192.0.2.1'));
    const refusal = refusalOf(() => bounds.admit(from('192.0.2.1')));
    assert.equal(refusal.reason, 'source_rate');
    assert.equal(refusal.headers['Retry-After'], '10');
  });
});

describe('TIM-10: failed authentications', () => {
  const limits = {
    sourceFailures: { perSecond: 10, burst: 100 },
    clientFailures: { perSecond: 10, burst: 100 },
    newcomerFailures: 5,
  };
  const start = (clock = clockAt()) => ({ clock, bounds: createRequestBounds({ clock, limits }) });
  type Bounds = ReturnType<typeof start>['bounds'];

  /** One try with a wrong key: admitted, then failed. */
  const tryWrongKey = (bounds: Bounds, clientId: string | null, network: string) => () => {
    bounds.admitClient(clientId, from(network));
    bounds.failed(clientId, from(network));
  };

  test('of one source are bounded, whatever client it names', () => {
    const { bounds } = start();
    let names = 0;
    const tried = passing(10_000, () => {
      names += 1;
      tryWrongKey(bounds, `client-${names}`, '192.0.2.66')();
    });
    assert.equal(tried, 100);
    assert.equal(refusalOf(() => bounds.admitClient('other', from('192.0.2.66'))).reason, 'source_rate');
  });

  test('of one source that names nobody are bounded, too', () => {
    const { bounds } = start();
    assert.equal(passing(10_000, tryWrongKey(bounds, null, '192.0.2.66')), 100);
  });

  test('in one client’s name are bounded over all sources that keep failing', () => {
    const { bounds } = start();
    let tried = 0;
    for (let source = 0; source < 100; source += 1) {
      tried += passing(100, tryWrongKey(bounds, 'billing', `192.0.2.${source}`));
    }
    assert.ok(tried <= 100 + 100 * limits.newcomerFailures, `${tried}`);
  });

  test('a stranger cannot lock out a client that authenticated from its own address before', () => {
    const { bounds } = start();
    bounds.succeeded('billing', from('198.51.100.1'));
    for (let source = 0; source < 100; source += 1) {
      passing(100, tryWrongKey(bounds, 'billing', `192.0.2.${source}`));
    }
    assert.equal(
      passing(1_000, () => bounds.admitClient('billing', from('198.51.100.1'))),
      1_000,
    );
  });

  test('nor a client that comes from a new address', () => {
    const { bounds } = start();
    for (let source = 0; source < 100; source += 1) {
      passing(100, tryWrongKey(bounds, 'billing', `192.0.2.${source}`));
    }
    assert.equal(
      passing(10, () => bounds.admitClient('billing', from('203.0.113.5'))),
      10,
    );
  });

  test('nor, from behind the same address, a client that authenticated from there before', () => {
    const { bounds } = start();
    bounds.succeeded('billing', from('198.51.100.1'));
    passing(10_000, tryWrongKey(bounds, 'someone', '198.51.100.1'));
    assert.equal(
      passing(100, () => bounds.admitClient('billing', from('198.51.100.1'))),
      100,
    );
    assert.equal(refusalOf(() => bounds.admitClient('someone', from('198.51.100.1'))).reason, 'source_rate');
  });

  test('a stranger at the same address and in the same name is bounded as well, and it passes when it stops', () => {
    const { bounds, clock } = start();
    bounds.succeeded('billing', from('198.51.100.1'));
    assert.equal(passing(10_000, tryWrongKey(bounds, 'billing', '198.51.100.1')), 100);
    assert.equal(refusalOf(() => bounds.admitClient('billing', from('198.51.100.1'))).reason, 'client_rate');
    clock.advance(100);
    bounds.admitClient('billing', from('198.51.100.1'));
  });

  test('an address is forgotten a day after the client last authenticated from it', () => {
    const { bounds, clock } = start();
    bounds.succeeded('billing', from('198.51.100.1'));
    const exhaust = () => passing(10_000, tryWrongKey(bounds, 'someone', '198.51.100.1'));
    clock.advance(RATE_LIMITS.acquaintanceMilliseconds - 1);
    exhaust();
    bounds.admitClient('billing', from('198.51.100.1'));
    clock.advance(1);
    exhaust();
    assert.equal(
      passing(1, () => bounds.admitClient('billing', from('198.51.100.1'))),
      0,
    );
  });

  test('no client and no source are mistaken for another pair', () => {
    const { bounds } = start();
    bounds.succeeded('b', from('a'));
    passing(10_000, tryWrongKey(bounds, 'x', 'a'));
    assert.equal(
      passing(1, () => bounds.admitClient('a', from('b'))),
      1,
    );
    assert.equal(
      passing(1, () => bounds.admitClient('', from('a'))),
      0,
    );
  });
});

describe('Mints of a client', () => {
  test('are bounded by themselves', () => {
    const clock = clockAt();
    const bounds = createRequestBounds({ clock });
    assert.equal(
      passing(10_000, () => bounds.admitMint('billing')),
      5_000,
    );
    assert.equal(refusalOf(() => bounds.admitMint('billing')).reason, 'client_rate');
    assert.equal(
      passing(1, () => bounds.admitMint('reports')),
      1,
    );
    clock.advance(1_000);
    assert.equal(
      passing(10_000, () => bounds.admitMint('billing')),
      1_000,
    );
  });
});

describe('Revocations by a client of its own', () => {
  test('are bounded by themselves, far below its mints', () => {
    const clock = clockAt();
    const bounds = createRequestBounds({ clock });
    assert.equal(
      passing(1_000, () => bounds.admitRevocation('billing')),
      500,
    );
    assert.equal(refusalOf(() => bounds.admitRevocation('billing')).reason, 'client_rate');
    assert.equal(
      passing(1, () => bounds.admitRevocation('reports')),
      1,
    );
    assert.equal(
      passing(1, () => bounds.admitMint('billing')),
      1,
    );
    clock.advance(1_000);
    assert.equal(
      passing(1_000, () => bounds.admitRevocation('billing')),
      20,
    );
  });
});

describe('A bucket', () => {
  test('never gives more than its burst and its rate, however the tries are spread', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(
        gaps,
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        (waits, perSecond, burst) => {
          const clock = clockAt();
          const buckets = createBuckets({ rate: { perSecond, burst }, maxEntries: 10, clock });
          let given = 0;
          let elapsed = 0;
          for (const wait of waits) {
            clock.advance(wait);
            elapsed += wait;
            if (buckets.take('a') === 0) given += 1;
          }
          assert.ok(given <= burst + (elapsed / 1_000) * perSecond);
        },
      ),
    );
  });

  test('gives one after exactly the wait that it named', () => {
    const clock = clockAt();
    const buckets = createBuckets({ rate: { perSecond: 3, burst: 1 }, maxEntries: 10, clock });
    assert.equal(buckets.take('a'), 0);
    const wait = buckets.take('a');
    assert.equal(wait, buckets.wait('a'));
    clock.advance(wait - 1);
    assert.notEqual(buckets.take('a'), 0);
    clock.advance(1);
    assert.equal(buckets.take('a'), 0);
  });
});

test('a million different sources and names leave memory bounded', () => {
  const bounds = createRequestBounds({
    clock: clockAt(),
    limits: { maxSources: 10_000, maxClients: 10_000 },
  });
  const before = heapInUse();
  for (let index = 0; index < 1_000_000; index += 1) {
    const source = from(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
    bounds.admit(source);
    bounds.failed(`client-${index}`, source);
  }
  const grown = heapInUse() - before;
  assert.ok(grown < 50_000_000, `${grown} bytes`);
  bounds.admit(from('192.0.2.1')); // still in use: all that it remembers was counted
});

/** Without what nobody refers to any more: when that goes is the collector's own affair. */
function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}
