import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { mayCall } from '../../src/sinks/outbound-address.ts';
import { clientContext, createOutbound, type OutboundPost } from '../../src/sinks/outbound-request.ts';
import { fc } from '../properties.ts';
import { makeCertificate } from '../test-certificate.ts';
import { startHttpCollector, tls } from './collectors.ts';

const PUBLIC = ['93.184.216.34', '8.8.8.8', '100.128.0.1', '172.32.0.1', '2606:2800:220:1::1', '2a00::1'];
const PRIVATE = [
  '127.0.0.1',
  '127.255.255.254',
  '10.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
].concat(['100.64.0.1', '::1', 'fd12:3456:789a::1', 'fc00::1']);
const NEVER = [
  '169.254.169.254',
  '169.254.170.2',
  '100.100.100.200',
  '168.63.129.16',
  'fd00:ec2::254',
  '0.0.0.0',
  '0.1.2.3',
  '255.255.255.255',
  '224.0.0.1',
  '240.0.0.1',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '::',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:93.184.216.34',
  '::127.0.0.1',
  '64:ff9b::a00:1',
  '64:ff9b:1::1',
  '100::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '2002:a9fe:a9fe::',
  '3fff::1',
  'localhost',
  '',
  '127.1',
  '0x7f000001',
];

test('an address is judged by where it leads', () => {
  for (const address of PUBLIC) {
    assert.equal(mayCall(address, { allowPrivate: false }), true, address);
    assert.equal(mayCall(address, { allowPrivate: true }), true, address);
  }
  for (const address of PRIVATE) {
    assert.equal(mayCall(address, { allowPrivate: false }), false, address);
    assert.equal(mayCall(address, { allowPrivate: true }), true, address);
  }
  for (const address of NEVER) {
    assert.equal(mayCall(address, { allowPrivate: false }), false, address);
    assert.equal(mayCall(address, { allowPrivate: true }), false, address);
  }
});

test('no spelling of a private IPv4 address inside IPv6 passes', () => {
  fc.assert(
    fc.property(fc.constantFrom('a00', 'ac10', 'c0a8', '7f00', 'a9fe'), fc.nat(0xffff), (high, low) => {
      const tail = `${high}:${low.toString(16)}`;
      for (const address of [`::ffff:${tail}`, `::${tail}`, `64:ff9b::${tail}`, `2002:${tail}::1`]) {
        assert.equal(mayCall(address, { allowPrivate: false }), false, address);
      }
    }),
  );
});

const context = clientContext({ ca: tls.certificate });
const request = (url: string, more: Partial<OutboundPost> = {}): OutboundPost => ({
  url: new URL(url),
  headers: {},
  body: Buffer.from('[]'),
  allowPrivate: false,
  context,
  signal: new AbortController().signal,
  ...more,
});
const at =
  (...addresses: string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
const localhost = at('127.0.0.1');

describe('a request', () => {
  test('goes to no address that it may not call, however the URL spells it (MET-12 to MET-22)', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    const post = createOutbound();
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '127.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[2002:7f00:1::]',
      '169.254.169.254',
      '0.0.0.0',
      'localhost',
    ]) {
      await assert.rejects(post(request(`https://${host}:${collector.port}/`)), /may not be called/, host);
    }
    assert.equal(collector.connections, 0);
  });

  test('is not made when any address of the name is private', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    for (const resolve of [at('93.184.216.34', '127.0.0.1'), at('127.0.0.1', '93.184.216.34'), at()]) {
      await assert.rejects(createOutbound({ resolve })(request(`https://hooks.example:${collector.port}/`)));
    }
    assert.equal(collector.connections, 0);
  });

  test('goes to the address that was judged, though the name resolves to another one a moment later', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    let questions = 0;
    const rebinding = async () => {
      questions += 1;
      return questions === 1 ? at('127.0.0.1')() : at('169.254.169.254')();
    };
    const post = createOutbound({ resolve: rebinding });
    const answer = await post(request(`https://localhost:${collector.port}/`, { allowPrivate: true }));
    assert.equal(answer.status, 204);
    assert.equal(questions, 1);
    assert.equal(collector.arrivals[0]?.headers.host, `localhost:${collector.port}`);
  });

  test('to a metadata address is not made even where private ones are allowed', async () => {
    const post = createOutbound({ resolve: at('169.254.169.254') });
    await assert.rejects(
      post(request('https://metadata.internal/', { allowPrivate: true })),
      /may not be called/,
    );
  });

  test('speaks https, and http only to a host that was allowed', async (t) => {
    const collector = await startHttpCollector({ secure: false });
    t.after(() => collector.stop());
    const post = createOutbound({ resolve: localhost });
    const url = `http://collector.internal:${collector.port}/`;
    await assert.rejects(post(request(url)), /only https/);
    assert.equal((await post(request(url, { allowPrivate: true }))).status, 204);
    for (const other of ['ftp://a/', 'file:///etc/passwd', 'gopher://a/', 'data:,x']) {
      await assert.rejects(post(request(other, { allowPrivate: true })), /only https/, other);
    }
  });

  test('trusts only its authority, and only for the name', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    const post = createOutbound({ resolve: localhost });
    const url = (host: string) => `https://${host}:${collector.port}/`;
    const stranger = clientContext({ ca: makeCertificate(['localhost']).certificate });
    const insecure = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    t.after(() => {
      if (insecure === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = insecure;
    });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    await assert.rejects(post(request(url('localhost'), { allowPrivate: true, context: stranger })));
    await assert.rejects(post(request(url('other.example'), { allowPrivate: true })), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    assert.equal((await post(request(url('localhost'), { allowPrivate: true }))).status, 204);
    assert.equal(collector.arrivals.length, 1);
  });

  test('follows no redirect', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    collector.answer = () => ({ status: 307, headers: { Location: 'https://localhost/elsewhere' } });
    const post = createOutbound({ resolve: localhost });
    const answer = await post(request(`https://localhost:${collector.port}/`, { allowPrivate: true }));
    assert.equal(answer.status, 307);
    assert.equal(collector.arrivals.length, 1);
  });

  test('reads no answer that is too long', async (t) => {
    const collector = await startHttpCollector();
    t.after(() => collector.stop());
    collector.answer = () => ({ status: 200, body: Buffer.alloc(70_000) });
    const post = createOutbound({ resolve: localhost });
    const url = `https://localhost:${collector.port}/`;
    await assert.rejects(post(request(url, { allowPrivate: true })), /too long/);
  });

  test('does not wait for a resolver that does not answer', async () => {
    const post = createOutbound({ resolve: () => new Promise(() => {}), timeoutMilliseconds: 50 });
    await assert.rejects(post(request('https://hooks.example/')), /no answer in time/);
  });

  const ILL: Readonly<Record<string, (socket: Socket) => unknown>> = {
    'says nothing': () => {},
    'drips one byte at a time': (socket) => {
      const timer = setInterval(() => socket.write('H'), 20);
      socket.on('close', () => clearInterval(timer));
    },
    'sends provisional answers without end': (socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 100 Continue\r\n\r\n'), 5);
      socket.on('close', () => clearInterval(timer));
    },
    'never ends its body': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n');
    },
    'sends a header of a megabyte': (socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(1_000_000)}\r\n\r\n`);
    },
    'switches protocols': (socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n');
    },
    'speaks something else': (socket) => socket.write('220 smtp.example ESMTP\r\n'),
    'hangs up': (socket) => socket.destroy(),
    'promises more than it sends': (socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx');
    },
  };

  for (const [what, answer] of Object.entries(ILL)) {
    test(`ends in time when the other side ${what} (MET-26, MET-36)`, async (t) => {
      const port = await startIll(t, answer);
      const post = createOutbound({ resolve: localhost, timeoutMilliseconds: 400 });
      const began = performance.now();
      await assert.rejects(post(request(`http://ill.internal:${port}/`, { allowPrivate: true })));
      assert.ok(performance.now() - began < 10_000);
    });
  }
});

async function startIll(t: TestContext, answer: (socket: Socket) => unknown): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => answer(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}
