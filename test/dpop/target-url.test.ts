import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normaliseTarget } from '../../src/dpop/target-url.ts';
import { fc } from '../properties.ts';

const TARGET = 'https://broker.example.com/oauth/token';

const SAME = [
  'HTTPS://broker.example.com/oauth/token',
  'https://BROKER.example.COM/oauth/token',
  'https://broker.example.com:443/oauth/token',
  'https://broker.example.com/oauth/token?x=1',
  'https://broker.example.com/oauth/token#part',
  'https://broker.example.com/oauth/token?x=1#part',
  'https://broker.example.com/oauth/%74oken',
  'https://broker.example.com/%6f%61uth/token',
];

const ANOTHER = [
  'http://broker.example.com/oauth/token',
  'https://broker.example.com:8443/oauth/token',
  'https://broker.example.com:0443/oauth/token',
  'https://broker.example.com:/oauth/token',
  'https://broker.example.com:99999/oauth/token',
  'https://broker.example.com./oauth/token',
  'https://broker.example.com/oauth/token/',
  'https://broker.example.com/oauth//token',
  'https://broker.example.com/oauth/token;v=1',
  'https://broker.example.com/OAuth/token',
  'https://broker.example.com/oauth/Token',
  'https://broker.example.com/oauth/%54oken',
  'https://broker.example.com/oauth%2Ftoken',
  'https://broker.example.com/x/../oauth/token',
  'https://broker.example.com/x/%2e%2e/oauth/token',
  'https://broker.example.com/./oauth/token',
  'https://broker.example.com/oauth/token%',
  'https://broker.example.com/oauth/token%2',
  'https://user@broker.example.com/oauth/token',
  'https://user:pass@broker.example.com/oauth/token',
  'https://broker.example.com@evil.example/oauth/token',
  'https://evil\\@broker.example.com/oauth/token',
  'https:\\\\broker.example.com/oauth/token',
  'https:/broker.example.com/oauth/token',
  'https:broker.example.com/oauth/token',
  '//broker.example.com/oauth/token',
  '/oauth/token',
  'broker.example.com/oauth/token',
  ' https://broker.example.com/oauth/token',
  'https://broker.example.com/oauth/token ',
  'https://broker.example.com/oauth/token\n',
  'https://broker.example.com/oa\tuth/token',
  'https://broker.example.com/oauth/t\u043eken',
  'https://\uff42roker.example.com/oauth/token',
  'https://broker.example.com\u3002evil/oauth/token',
  'javascript:alert(1)',
  '',
];

test('other spellings of the same target are the same', () => {
  for (const url of SAME) assert.equal(normaliseTarget(url), TARGET, url);
});

test('whatever is more than another spelling is another target, or none', () => {
  for (const url of ANOTHER) assert.notEqual(normaliseTarget(url), TARGET, url);
});

test('what is no text is no target', () => {
  for (const value of [undefined, null, 1, [TARGET], { toString: () => TARGET }, new URL(TARGET)]) {
    assert.equal(normaliseTarget(value), null);
  }
});

test('an address of the next version of the protocol can be a host', () => {
  assert.equal(normaliseTarget('http://[::1]:8420/oauth/token'), 'http://[::1]:8420/oauth/token');
  assert.equal(normaliseTarget('http://[::1]:80/'), 'http://[::1]/');
});

const segment = fc.stringMatching(/^[a-zA-Z0-9._~-]{1,12}$/);
const plainUrl = fc
  .tuple(
    fc.constantFrom('http', 'https'),
    fc.stringMatching(/^[a-z][a-z0-9]{0,8}(\.[a-z]{2,5})?$/),
    fc.option(fc.integer({ min: 1, max: 65_535 })),
    fc.array(segment, { maxLength: 4 }),
  )
  .map(
    ([scheme, host, port, path]) => `${scheme}://${host}${port === null ? '' : `:${port}`}/${path.join('/')}`,
  );

test('normalising twice is normalising once', () => {
  fc.assert(
    fc.property(fc.oneof(plainUrl, fc.webUrl({ withQueryParameters: true, withFragments: true })), (url) => {
      const once = normaliseTarget(url);
      if (once !== null) assert.equal(normaliseTarget(once), once);
    }),
  );
});

test('case, default port, query, fragment and needless escapes never make another target', () => {
  const spell = (url: string, seed: number) => {
    const [, scheme = '', authority = '', path = ''] = /^(https?):\/\/([^/]+)(\/.*)$/.exec(url) ?? [];
    const escaped = [...path].map((c, index) =>
      /[a-zA-Z0-9._~-]/.test(c) && (seed >> (index % 16)) & 1 ? `%${c.charCodeAt(0).toString(16)}` : c,
    );
    const explicit = authority.includes(':') ? authority : `${authority}:${scheme === 'http' ? 80 : 443}`;
    return `${scheme.toUpperCase()}://${(seed & 1 ? explicit : authority).toUpperCase()}${escaped.join('')}?q#f`;
  };
  fc.assert(
    fc.property(plainUrl, fc.nat(0xffff), (url, seed) => {
      assert.equal(normaliseTarget(spell(url, seed)), normaliseTarget(url));
    }),
  );
});

test('two plain URLs that differ in host, port or path are two targets', () => {
  fc.assert(
    fc.property(plainUrl, plainUrl, (one, two) => {
      const [a, b] = [new URL(one), new URL(two)];
      const same = a.origin === b.origin && a.pathname === b.pathname;
      // `URL` resolves dot segments, which are another target here.
      if (!/\/\.{1,2}(\/|$)/.test(one + two))
        assert.equal(normaliseTarget(one) === normaliseTarget(two), same);
    }),
  );
});

test('a URL is bounded before anything looks at it', () => {
  const path = (length: number) => `https://a.example/${'x'.repeat(length)}`;
  assert.notEqual(normaliseTarget(path(2_000)), null);
  assert.equal(normaliseTarget(path(2_048)), null);
});
