import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { ListenError } from '../../src/http/listen-error.ts';
import { createListener } from '../../src/http/listener.ts';
import { systemClock } from '../../src/time/clock.ts';
import { becomesTrue, header, noConnections, openClient, postForm, startEdge } from './wire.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-tls-'));
after(() => rmSync(folder, { recursive: true }));

const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
const pem = (name: string) => readFileSync(join(folder, name), 'utf8');
const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
})();

/** Two authorities, a server, a client of the first, and a client of the other. */
function makeCertificates() {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const authority of ['ca', 'other-ca']) {
    openssl(
      'req',
      '-x509',
      ...key,
      '-days',
      '2',
      '-subj',
      `/CN=${authority}`,
      '-keyout',
      `${authority}.key`,
      '-out',
      `${authority}.pem`,
    );
  }
  for (const [name, authority] of [
    ['server', 'ca'],
    ['client', 'ca'],
    ['stranger', 'other-ca'],
  ] as const) {
    openssl(
      'req',
      ...key,
      '-subj',
      `/CN=${name}`,
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
    );
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      `${authority}.pem`,
      '-CAkey',
      `${authority}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-copy_extensions',
      'copyall',
      '-out',
      `${name}.pem`,
    );
  }
}

describe('TLS', { skip: hasOpenssl ? false : 'openssl is not here to make certificates' }, () => {
  if (hasOpenssl) makeCertificates();
  const server = () => ({ certificate: pem('server.pem'), privateKey: pem('server.key') });
  const trusting = () => ({ ca: pem('ca.pem') });
  const identity = (name: string) => ({ cert: pem(`${name}.pem`), key: pem(`${name}.key`) });

  /** One request over TLS; the error when there was no answer. */
  async function ask(port: number, options: ConnectionOptions) {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ...options });
    let failure: Error | undefined;
    socket.on('error', (error) => {
      failure = error;
    });
    const client = openClient(port, socket);
    client.write(postForm('grant_type=client_credentials'));
    const answer = await client.answer();
    const protocol = socket.getProtocol();
    socket.destroy();
    return { answer, protocol, failure };
  }

  test('is TLS 1.3', async (context) => {
    const edge = await startEdge(context, { tls: server(), https: true });
    const { answer, protocol } = await ask(edge.port, trusting());
    assert.equal(answer?.status, 200);
    assert.equal(protocol, 'TLSv1.3');
    assert.match(header(answer, 'strict-transport-security') ?? '', /^max-age=\d{8}$/);
    assert.equal(edge.calls[0]?.source.address, '127.0.0.1');
  });

  test('TLS 1.2 is refused in the handshake', async (context) => {
    const edge = await startEdge(context, { tls: server() });
    const { answer, failure } = await ask(edge.port, { ...trusting(), maxVersion: 'TLSv1.2' });
    assert.equal(answer, null);
    assert.match(String(failure), /alert|protocol|version/i);
    assert.equal(edge.calls.length, 0);
  });

  for (const servername of ['unknown.test', 'a'.repeat(250), '']) {
    test(`TRN-40: the server name ${JSON.stringify(servername.slice(0, 12))} (${servername.length}) harms nobody`, async (context) => {
      const edge = await startEdge(context, { tls: server() });
      await ask(edge.port, { ...trusting(), servername, rejectUnauthorized: false });
      assert.equal((await ask(edge.port, trusting())).answer?.status, 200);
    });
  }

  test('bytes that are no handshake, half a handshake and silence harm nobody and are cut off', async (context) => {
    const edge = await startEdge(context, { tls: server(), limits: { handshakeMilliseconds: 200 } });
    const clients = ['POST /oauth/token HTTP/1.1\r\nHost: a\r\n\r\n', '\x16\x03\x01\x02\x00\x01', ''].map(
      (bytes) => {
        const client = openClient(edge.port, connectTcp(edge.port, '127.0.0.1'));
        if (bytes !== '') client.write(Buffer.from(bytes, 'latin1'));
        return client;
      },
    );
    await Promise.all(clients.map((client) => client.closed()));
    for (const client of clients) assert.doesNotMatch(client.received(), /HTTP/);
    assert.equal((await ask(edge.port, trusting())).answer?.status, 200);
    assert.deepEqual(
      edge.logged.filter(({ level }) => level === 'error'),
      [],
    );
  });

  test('with client authorities, only a certificate of theirs gets through', async (context) => {
    const tls = { ...server(), clientAuthorities: pem('ca.pem') };
    const edge = await startEdge(context, { tls });
    assert.equal((await ask(edge.port, { ...trusting(), ...identity('client') })).answer?.status, 200);
    assert.equal(edge.calls.length, 1);
    for (const stranger of [{}, identity('stranger')]) {
      assert.equal((await ask(edge.port, { ...trusting(), ...stranger })).answer, null);
    }
    assert.equal(edge.calls.length, 1);
  });

  test('a drain ends connections in the handshake, idle ones and busy ones', async (context) => {
    const edge = await startEdge(context, { tls: server() });
    const half = openClient(edge.port, connectTcp(edge.port, '127.0.0.1'));
    half.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'));
    const idle = openClient(
      edge.port,
      connect({ port: edge.port, host: '127.0.0.1', servername: 'localhost', ...trusting() }),
    );
    idle.write(postForm('grant_type=a'));
    assert.equal((await idle.answer())?.status, 200);
    await becomesTrue(() => edge.listener.connections() >= 2);
    await edge.listener.drain({ withinMilliseconds: 100 });
    await Promise.all([half.closed(), idle.closed()]);
    await noConnections(edge);
  });

  test('a certificate that cannot be used stops the start in words', () => {
    const wrong = [
      { certificate: 'nonsense', privateKey: pem('server.key') },
      { certificate: pem('server.pem'), privateKey: pem('client.key') },
      { certificate: pem('server.pem'), privateKey: '' },
      { ...server(), clientAuthorities: '' },
      { ...server(), clientAuthorities: 'nonsense' },
    ];
    for (const tls of wrong) {
      const start = () =>
        createListener({
          app: () => {},
          host: '127.0.0.1',
          port: 0,
          portSetting: 'MAYFLY_PORT',
          tls,
          log: { info() {}, warn() {}, error() {} },
          clock: systemClock,
        });
      assert.throws(start, (error) => error instanceof ListenError && /cannot be used/.test(error.message));
    }
  });
});
