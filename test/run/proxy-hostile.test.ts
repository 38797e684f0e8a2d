/** Resources that answer as no server does, and what stays of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../broker-process.ts';
import {
  ACCESS_TOKEN,
  codeOf,
  proxyRequest,
  startRawUpstream,
  startTestProxy,
  whole,
} from './proxy-world.ts';

const upstream = await startRawUpstream();
const world = await startTestProxy({ resources: [upstream.url], upstreamLimits: { answerBytes: 500_000 } });
const hasty = await startTestProxy({
  resources: [upstream.url],
  upstreamLimits: { idleMilliseconds: 500, headerMilliseconds: 500 },
});
const get = (path = '/x') => world.ask(`GET ${upstream.url}${path}`);

/** Whatever happened before, the next request gets its own answer. */
async function assertClean(): Promise<void> {
  const mark = `mark-${Math.random()}`;
  upstream.answers(({ socket, head }) => socket.write(whole(`${mark} ${head.split(' ')[1]}`)));
  for (const path of ['/one', '/two']) assert.equal((await get(path))?.body, `${mark} ${path}`);
}

const flood = (part: string, times = 100_000) => part.repeat(times);
const OK = 'HTTP/1.1 200 OK\r\n';
const endless: (part: string) => Parameters<typeof upstream.answers>[0] =
  (part) =>
  ({ socket }) => {
    socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n`);
    const more = () => {
      while (!socket.destroyed && socket.write(part)) {}
    };
    socket.on('drain', more);
    more();
  };

/** `broken` is an answer that was begun and whose end never came. */
const hostile: [string, Parameters<typeof upstream.answers>[0], string][] = [
  ['a flood of 1xx', flood('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'), 'answer_malformed'],
  ['a flood of 100', flood('HTTP/1.1 100 Continue\r\n\r\n'), 'answer_malformed'],
  ['a header of 1 MB', `${OK}X: ${flood('a', 1_000_000)}\r\n\r\n`, 'answer_malformed'],
  ['a header of many fields', `${OK}${flood('X: a\r\n')}\r\n`, 'answer_malformed'],
  ['endless chunks', endless(`10000\r\n${'a'.repeat(65_536)}\r\n`), 'broken'],
  ['endless small chunks', endless('1\r\na\r\n'.repeat(10_000)), 'broken'],
  ['endless trailers', endless(`0\r\n${'X: y\r\n'.repeat(10_000)}`), 'broken'],
  ['an endless extension of a chunk', endless(`1;a=${'b'.repeat(60_000)}`), 'broken'],
  ['a chunk that is none', `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nzz\r\n`, 'broken'],
  [
    'more than the length',
    `${OK}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
    'resource 200',
  ],
  ['garbage after the answer', `${whole('ok')}garbage`, 'resource 200'],
  ['two equal lengths', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`, 'answer_malformed'],
  ['two lengths', `${OK}Content-Length: 2\r\nContent-Length: 40\r\n\r\nok`, 'answer_malformed'],
  [
    'a length and chunks',
    `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    'answer_malformed',
  ],
  ['a negative length', `${OK}Content-Length: -2\r\n\r\nok`, 'answer_malformed'],
  ['204 with a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil', 'resource 204'],
  ['205 with a body', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 4\r\n\r\nevil', 'resource 205'],
  ['304 with a body', 'HTTP/1.1 304 Not Modified\r\n\r\nevil', 'resource 304'],
  ['HTTP/0.9', '<html>hello</html>', 'answer_malformed'],
  ['HTTP/2 bytes', '\x00\x00\x12\x04\x00\x00\x00\x00\x00', 'answer_malformed'],
  ['a status that is none', 'HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n', 'answer_malformed'],
  [
    '407',
    'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    'answer_malformed',
  ],
  [
    '101 unasked',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
    'answer_malformed',
  ],
  ['gzip that was not asked for', whole('\x1f\x8b\x08', 'Content-Encoding: gzip'), 'answer_encoded'],
  ['a bare line feed in a header', `${OK}X: a\nContent-Length: 2\n\nok`, 'answer_malformed'],
  ['a folded header', `${OK}X: a\r\n b\r\nContent-Length: 2\r\n\r\nok`, 'answer_malformed'],
  ['nothing at all', ({ socket }) => void socket.destroy(), 'resource_unreachable'],
  ['a reset', ({ socket }) => void socket.resetAndDestroy(), 'resource_unreachable'],
  ['half a header', ({ socket }) => void socket.end(`${OK}X: a`), 'resource_unreachable'],
  [
    'an end before the length',
    ({ socket }) => void socket.end(`${OK}Content-Length: 20\r\n\r\nhalf`),
    'broken',
  ],
  [
    'an end between chunks',
    ({ socket }) => void socket.end(`${OK}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`),
    'broken',
  ],
  [
    'a reset within a body that ends with the connection',
    ({ socket }) => void socket.write(`${OK}\r\nhalf`, () => setTimeout(() => socket.resetAndDestroy(), 50)),
    'broken',
  ],
  ['silence', () => undefined, 'resource_silent'],
  ['silence within the body', `${OK}Content-Length: 20\r\n\r\nhalf`, 'broken'],
];

async function outcomeOf(name: string): Promise<string> {
  const answer = await (name.startsWith('silence') ? hasty : world).read(`GET ${upstream.url}/x`);
  return answer.isWhole ? codeOf(answer) : 'broken';
}

describe('An upstream that answers', () => {
  for (const [name, script, expected] of hostile) {
    test(`${name} (EGR-14) is told from one that answers well, and harms no other request`, async () => {
      upstream.answers(script);
      assert.equal(await outcomeOf(name), expected);
      await assertClean();
      await until(() => upstream.sockets.size <= 2, 'no connection is left of it');
    });
  }
});

describe('A connection to a resource', () => {
  test('serves one request after the other, while nothing comes over it unasked (EGR-08)', async () => {
    await assertClean();
    const before = upstream.connections();
    await assertClean();
    assert.equal(upstream.connections(), before);
    assert.equal(upstream.sockets.size, 1);
    const [idle] = upstream.sockets;
    idle?.write(whole('evil'));
    await until(() => upstream.sockets.size === 0, 'it is closed');
    await assertClean();
    assert.equal(upstream.connections(), before + 1);
  });

  test('of a request that was cancelled serves no other one (EGR-08)', async () => {
    for (const begun of ['', `${OK}Content-Length: 20\r\n\r\nhalf`]) {
      const asked = upstream.seen.length;
      upstream.answers(({ socket }) => void socket.write(begun));
      const client = world.connect();
      client.write(proxyRequest(`GET ${upstream.url}/slow`, { credentials: world.credentials }));
      await until(
        () => upstream.seen.length > asked && client.received().length >= begun.length,
        'it is under way',
      );
      const { socket: late } = upstream.seen.at(-1) ?? assert.fail();
      client.socket.resetAndDestroy();
      await until(() => late.destroyed, 'its connection is closed');
      await assertClean();
    }
  });
});

const echo = (proof: boolean) => (head: string) =>
  (proof ? /\r\ndpop: *(\S+)/i : /\r\nauthorization: *DPoP (\S+)/i).exec(head)?.[1] ?? assert.fail(head);

describe('What a resource sends back of what it was shown', () => {
  for (const [what, secretOf] of [
    ['the token', echo(false)],
    ['the proof', echo(true)],
  ] as const) {
    test(`is ${what} in a header, and arrives as asterisks (EGR-12)`, async () => {
      let secret = '';
      upstream.answers(({ socket, head }) => {
        secret = secretOf(head);
        socket.write(whole('ok', `X-Echo: a ${secret} b`, `${secret}: x`, `Location: /?token=${secret}`));
      });
      const answer = await world.read(`GET ${upstream.url}/echo`);
      const stars = '*'.repeat(secret.length);
      assert.deepEqual(answer.headers.get('x-echo'), [`a ${stars} b`]);
      assert.deepEqual(answer.headers.get('location'), [`/?token=${stars}`]);
      assert.doesNotMatch(JSON.stringify([...answer.headers]), new RegExp(secret, 'i'));
    });

    test(`is ${what} in a body, and arrives as asterisks, however it is cut into pieces (EGR-12)`, async () => {
      for (const pieceBytes of [1, 7, 100, 10_000]) {
        let body = '';
        let secret = '';
        upstream.answers(async ({ socket, head }) => {
          secret = secretOf(head);
          body = `begin ${secret}${secret} eyJ ${secret.slice(0, -1)}. ${secret}`;
          socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n`);
          for (let at = 0; at < body.length; at += pieceBytes) {
            const piece = body.slice(at, at + pieceBytes);
            const turn = pieceBytes > 1 && at % 5 === 0;
            await new Promise((sent) =>
              socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`, () =>
                turn ? setImmediate(sent) : sent(null),
              ),
            );
          }
          socket.write('0\r\n\r\n');
        });
        const answer = await world.read(`GET ${upstream.url}/echo`);
        assert.equal(answer.body, body.replaceAll(secret, '*'.repeat(secret.length)));
        assert.ok(answer.isWhole);
      }
    });
  }

  test('is told to the person who started the run, once for each resource (EGR-12)', () => {
    assert.equal(world.warnings.length, 1);
    assert.match(world.warnings[0] ?? '', /^http:\/\/127\.0\.0\.1:\d+ sends back the token or the proof/);
    assert.ok(!world.warnings.join().includes(ACCESS_TOKEN));
  });
});
