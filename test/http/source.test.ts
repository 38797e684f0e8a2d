import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { createSourceReader, sourceOf } from '../../src/http/source.ts';
import { fc } from '../properties.ts';

type Forwarded = { 'x-forwarded-for'?: string; forwarded?: string };

function sourceFrom(peer: string | undefined, headers: Forwarded, trustedProxies: string[]) {
  const socket = new Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: peer });
  const request = new IncomingMessage(socket);
  Object.assign(request.headers, headers);
  return createSourceReader({ trustedProxies, maxHops: 32 })(request);
}

describe('TIM-12: an address has one spelling and one rate key', () => {
  const cases: [text: string, address: string, network: string][] = [
    ['192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:207', '192.0.2.7', '192.0.2.7'],
    ['0:0:0:0:0:ffff:192.0.2.7', '192.0.2.7', '192.0.2.7'],
    ['192.0.2.7:4711', '192.0.2.7', '192.0.2.7'],
    [' 192.0.2.7 ', '192.0.2.7', '192.0.2.7'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1', '2001:db8:0:0::/64'],
    ['[2001:db8:1:2:3:4:5:6]:443', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['[2001:db8::1]', '2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:1:2::', '2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80::1', 'fe80:0:0:0::/64'],
    ['::1', '::1', '0:0:0:0::/64'],
  ];
  for (const [text, address, network] of cases) {
    test(`${text} is ${address}, counted as ${network}`, () => {
      assert.deepEqual(sourceOf(text), { address, network });
    });
  }

  for (const text of [
    '',
    'unknown',
    '_hidden',
    '192.0.2',
    '192.0.2.256',
    '0192.0.2.7',
    '192.0.2.7:123456',
    'localhost',
    '::g',
    '1.2.3.4, 5.6.7.8',
    '<b>',
  ]) {
    test(`${JSON.stringify(text)} is no address`, () => assert.equal(sourceOf(text), null));
  }

  test('two IPv4 addresses have two keys, written in either family', () => {
    const address = fc.ipV4();
    fc.assert(
      fc.property(address, address, (one, other) => {
        assert.equal(sourceOf(`::ffff:${one}`)?.network, sourceOf(one)?.network);
        assert.equal(sourceOf(one)?.network === sourceOf(other)?.network, one === other);
      }),
    );
  });

  test('two IPv6 addresses have one key exactly when their first 64 bits agree', () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, groups, (one, other) => {
        const text = (numbers: number[]) => numbers.map((number) => number.toString(16)).join(':');
        const neighbour = [...one.slice(0, 4), ...other.slice(4)];
        if (one.slice(0, 5).every((number) => number === 0)) return;
        assert.equal(sourceOf(text(neighbour))?.network, sourceOf(text(one))?.network);
        const samePrefix = one.slice(0, 4).join() === other.slice(0, 4).join();
        assert.equal(sourceOf(text(one))?.network === sourceOf(text(other))?.network, samePrefix);
      }),
    );
  });

  test('any text is read or refused', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), (text) => void sourceOf(text)));
  });
});

describe('TRN-30: forwarded addresses count only from proxies that the operator trusts', () => {
  const proxies = ['10.0.0.0/8', '2001:db8:ffff::/48', '192.0.2.1'];
  const cases: [name: string, peer: string | undefined, headers: Forwarded, expected: string][] = [
    ['a stranger says what it likes', '198.51.100.9', { 'x-forwarded-for': '1.1.1.1' }, '198.51.100.9'],
    ['a proxy names the client', '10.1.2.3', { 'x-forwarded-for': '198.51.100.9' }, '198.51.100.9'],
    [
      'a proxy that connects by an IPv4-mapped address counts as itself',
      '::ffff:10.1.2.3',
      { 'x-forwarded-for': '198.51.100.9' },
      '198.51.100.9',
    ],
    ['a proxy of one address', '192.0.2.1', { 'x-forwarded-for': '198.51.100.9' }, '198.51.100.9'],
    [
      'a neighbour of that address is a stranger',
      '192.0.2.2',
      { 'x-forwarded-for': '198.51.100.9' },
      '192.0.2.2',
    ],
    ['an IPv6 proxy', '2001:db8:ffff:1::5', { 'x-forwarded-for': '2001:db8::9' }, '2001:db8::9'],
    [
      'what the client wrote further left is not looked at',
      '10.1.2.3',
      { 'x-forwarded-for': '1.1.1.1, 198.51.100.9' },
      '198.51.100.9',
    ],
    [
      'a chain of proxies is walked from the right',
      '10.1.2.3',
      { 'x-forwarded-for': '1.1.1.1, 198.51.100.9, 10.9.9.9, 192.0.2.1' },
      '198.51.100.9',
    ],
    [
      'a client that pretends to be a proxy is found out at the first address that is none',
      '10.1.2.3',
      { 'x-forwarded-for': '10.6.6.6, 198.51.100.9' },
      '198.51.100.9',
    ],
    [
      'when all are proxies it is the leftmost',
      '10.1.2.3',
      { 'x-forwarded-for': '10.6.6.6, 10.7.7.7' },
      '10.6.6.6',
    ],
    [
      'nonsense ends the walk',
      '10.1.2.3',
      { 'x-forwarded-for': '198.51.100.9, unknown, 10.7.7.7' },
      '10.7.7.7',
    ],
    ['an empty header names nobody', '10.1.2.3', { 'x-forwarded-for': '' }, '10.1.2.3'],
    [
      'Forwarded is read as well',
      '10.1.2.3',
      { forwarded: 'for=198.51.100.9;proto=https;by=10.1.2.3' },
      '198.51.100.9',
    ],
    [
      'Forwarded with IPv6 and a port',
      '10.1.2.3',
      { forwarded: 'for=1.1.1.1, For="[2001:db8::9]:4711"' },
      '2001:db8::9',
    ],
    ['Forwarded with a pseudonym', '10.1.2.3', { forwarded: 'for=_hidden' }, '10.1.2.3'],
    [
      'both headers at once count for nothing',
      '10.1.2.3',
      { forwarded: 'for=1.1.1.1', 'x-forwarded-for': '198.51.100.9' },
      '10.1.2.3',
    ],
    ['a proxy that names nobody', '10.1.2.3', {}, '10.1.2.3'],
    ['a connection that is gone', undefined, { 'x-forwarded-for': '1.1.1.1' }, 'unknown'],
  ];
  for (const [name, peer, headers, expected] of cases) {
    test(name, () => assert.equal(sourceFrom(peer, headers, proxies).address, expected));
  }

  test('without trusted proxies no header counts', () => {
    assert.equal(sourceFrom('10.1.2.3', { 'x-forwarded-for': '1.1.1.1' }, []).address, '10.1.2.3');
  });

  test('only the last 32 addresses are looked at', () => {
    const chain = ['198.51.100.9', ...Array.from({ length: 40 }, (_, index) => `10.0.0.${index}`)].join(', ');
    assert.equal(sourceFrom('10.1.2.3', { 'x-forwarded-for': chain }, proxies).address, '10.0.0.8');
  });

  test('a list that cannot be read stops the start', () => {
    for (const network of ['10.0.0.0/33', 'proxy.internal', '']) {
      assert.throws(() => createSourceReader({ trustedProxies: [network], maxHops: 32 }));
    }
  });
});
