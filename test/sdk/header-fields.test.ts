import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionsOf, demandedBy, parseChallenges } from '../../src/sdk/challenge.ts';
import { createNonces } from '../../src/sdk/nonces.ts';
import { covers } from '../../src/sdk/places.ts';
import { MAX_ATTEMPTS, MAX_HONOURED_SECONDS, pauseAfter, retryAfterOf } from '../../src/sdk/retry.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';

const numRuns = 200 * soakFactor();
const read = (field: string) =>
  parseChallenges(field).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

const CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCxyz".split('');
const token = fc
  .array(fc.constantFrom(...CHARACTERS), { minLength: 1, maxLength: 8 })
  .map((list) => list.join(''));
const text = fc.stringMatching(/^[\x20-\x7e]{0,12}$/);
const quoted = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;

describe('WWW-Authenticate', () => {
  test('is read whatever stands before the DPoP challenge, and however it is spaced', () => {
    assert.deepEqual(read('DPoP error="use_dpop_nonce", algs="ES256"'), [
      ['dpop', { error: 'use_dpop_nonce', algs: 'ES256' }],
    ]);
    assert.deepEqual(read('Negotiate, Basic , Bearer realm="a, b" ,scope = x, dPoP  error=y'), [
      ['negotiate', {}],
      ['basic', {}],
      ['bearer', { realm: 'a, b', scope: 'x' }],
      ['dpop', { error: 'y' }],
    ]);
    assert.deepEqual(read('Negotiate a87421000492aa874209af8bc028==, DPoP'), [
      ['negotiate', {}],
      ['dpop', {}],
    ]);
    assert.deepEqual(read('DPoP error="a \\"b\\" c", error="second"'), [['dpop', { error: 'a "b" c' }]]);
    assert.deepEqual(parseChallenges(null), []);
  });

  test('comes back as it was written', () => {
    const parameter = fc.tuple(token, fc.oneof(token, text.map(quoted)));
    const challenge = fc.tuple(
      token,
      fc.uniqueArray(parameter, { selector: ([name]) => name.toLowerCase(), maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 4 }), (challenges) => {
        const field = challenges
          .map(([scheme, list]) =>
            `${scheme} ${list.map(([name, value]) => `${name}=${value}`).join(', ')}`.trim(),
          )
          .join(', ');
        const plain = (value: string) =>
          value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
        assert.deepEqual(
          read(field),
          challenges.map(([scheme, list]) => [
            scheme.toLowerCase(),
            Object.fromEntries(list.map(([name, value]) => [name.toLowerCase(), plain(value)])),
          ]),
        );
      }),
      { numRuns },
    );
  });

  test('of any text is read without a fault, in no time', () => {
    const parts = fc.constantFrom('DPoP ', 'error', '=', '"', '\\', ',', ' ', 'a', '\u{1f600}', '\t');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(parts, { maxLength: 60 }).map((list) => list.join('')),
        ),
        (field) => {
          for (const { scheme } of parseChallenges(field)) assert.match(scheme, /^[!-~]+$/);
        },
      ),
      { numRuns },
    );
    const before = performance.now();
    for (const hard of [
      '"'.repeat(1e6),
      `a="${'\\'.repeat(1e6)}`,
      'a='.repeat(5e5),
      `DPoP ${'a'.repeat(1e6)}`,
    ]) {
      parseChallenges(hard);
    }
    assert.ok(performance.now() - before < 2_000);
  });

  test('says what is demanded: by DPoP first, else by whoever names metadata', () => {
    const of = (field: string) => demandedBy(new Headers({ 'WWW-Authenticate': field }));
    assert.deepEqual(of('Bearer resource_metadata="https://a/m", DPoP scope="a:b:c d:e:f", error="x"'), {
      error: 'x',
      actions: ['a:b:c', 'd:e:f'],
      resourceMetadata: undefined,
    });
    assert.equal(of('Bearer resource_metadata="https://a/m"')?.resourceMetadata, 'https://a/m');
    assert.equal(of('Basic realm="x"'), null);
    assert.deepEqual(actionsOf('a  b "c" \\d é'), ['a', 'b']);
    assert.deepEqual(actionsOf(['a']), []);
  });
});

describe('Retry-After', () => {
  const NOW = 1_800_000_000;
  const of = (value: string) => retryAfterOf(new Headers({ 'Retry-After': value }), NOW);

  test('is seconds or a date, at most a day, and nothing else', () => {
    const date = (offset: number) => new Date((NOW + offset) * 1_000).toUTCString();
    const cases: [string, number | null][] = [
      ['1', 1],
      ['86401', 86_400],
      ['999999999999999', 86_400],
      ['0', null],
      ['-5', null],
      ['1.5', null],
      ['1e3', null],
      ['', null],
      ['tomorrow', null],
      [date(90), 90],
      [date(-90), null],
      [date(0), null],
      [date(1e9), 86_400],
      ['2027-01-15T08:00:00Z', null],
    ];
    for (const [value, expected] of cases) assert.equal(of(value), expected, value);
  });

  test('of any text is a whole number of seconds within a day, or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^[\x20-\x7e]*$/), fc.double().map(String)), (value) => {
        const seconds = of(value);
        assert.ok(seconds === null || (Number.isSafeInteger(seconds) && seconds > 0 && seconds <= 86_400));
      }),
      { numRuns },
    );
  });

  test('Pauses are few, bounded, never shorter than what was asked for, and spread (SDK-02)', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.option(fc.integer({ min: 1, max: 86_400 })),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failures, retryAfterSeconds, chance) => {
          const pause = pauseAfter(failures, { retryAfterSeconds, random: () => chance });
          if (failures >= MAX_ATTEMPTS || (retryAfterSeconds ?? 0) > MAX_HONOURED_SECONDS) {
            assert.equal(pause, null);
            return;
          }
          const least = (retryAfterSeconds ?? 0) * 1_000;
          assert.ok(pause !== null && pause >= least && pause <= Math.max(8_000, least + 1_000));
        },
      ),
      { numRuns },
    );
    const many = Array.from({ length: 50 }, () =>
      pauseAfter(3, { retryAfterSeconds: null, random: Math.random }),
    );
    assert.ok(new Set(many).size > 40);
  });
});

test('A nonce is what RFC 9449 lets it be, the newest counts, and a thousand servers fill no memory', () => {
  const nonces = createNonces();
  const learn = (value: string, origin = 'https://a') =>
    nonces.learn(origin, new Headers({ 'DPoP-Nonce': value }));
  assert.ok(learn('one'));
  assert.ok(learn('two'));
  assert.ok(!learn('two'));
  for (const bad of ['', 'a b', 'a"b', 'a\\b', 'x'.repeat(513), 'é']) assert.ok(!learn(bad), bad);
  assert.equal(nonces.of('https://a'), 'two');
  for (let number = 0; number < 1_000; number += 1) learn('n', `https://${number}`);
  assert.equal(nonces.of('https://a'), undefined);
  assert.equal(nonces.of('https://999'), 'n');
});

test('A resource covers what lies below it, segment by segment, at its own origin', () => {
  const is = (resource: string, url: string) => covers(new URL(resource), new URL(url));
  for (const [resource, url] of [
    ['https://a', 'https://a/x'],
    ['https://a/', 'https://a/x/y?q'],
    ['https://a/x', 'https://a/x'],
    ['https://a/x/', 'https://a/x'],
    ['https://a/x', 'https://a/x/y'],
  ] as const) {
    assert.ok(is(resource, url), `${resource} ${url}`);
  }
  for (const [resource, url] of [
    ['https://a/x', 'https://a/xy'],
    ['https://a/x', 'https://a/'],
    ['https://a/x', 'https://a/x/../y'],
    ['https://a/x', 'https://a/x/%2e%2e/y'],
    ['https://a', 'https://a.b/'],
    ['https://a', 'https://a:8443/'],
    ['https://a', 'http://a/'],
  ] as const) {
    assert.ok(!is(resource, url), `${resource} ${url}`);
  }
});
