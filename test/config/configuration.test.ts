/** What --check-config promises: what it calls good can start. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigurationError, readConfiguration } from '../../src/config/configuration.ts';
import { normaliseTarget, requireTarget } from '../../src/dpop/target-url.ts';
import { fc } from '../properties.ts';
import { makeCertificate } from '../test-certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-configuration-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function problemsOf(settings: Record<string, string>): readonly string[] {
  try {
    readConfiguration(settings);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigurationError, String(error));
    return error.problems;
  }
}

/** One mistake, which begins with the name of its setting. */
function refused(name: string, settings: Record<string, string>): void {
  const problems = problemsOf(settings);
  assert.equal(problems.length, 1, `${JSON.stringify(settings)}: ${problems.join('; ') || 'accepted'}`);
  assert.ok(problems[0]?.startsWith(name), problems.join());
}

function fileOf(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test('an STS that is no origin, or is asked in clear over a network, is refused', () => {
  for (const endpoint of [
    'sts',
    'http://sts.example.com',
    'https://sts.example.com/',
    'https://a@sts.example.com',
    'ftp://a',
  ]) {
    refused('MAYFLY_AWS_STS_ENDPOINT', { MAYFLY_AWS_STS_ENDPOINT: endpoint });
    refused('MAYFLY_AWS_IAM_ENDPOINT', { MAYFLY_AWS_IAM_ENDPOINT: endpoint });
  }
  for (const endpoint of ['https://vpce-1.sts.eu-central-1.vpce.amazonaws.com', 'http://127.0.0.1:4566']) {
    assert.deepEqual(problemsOf({ MAYFLY_AWS_STS_ENDPOINT: endpoint }), []);
  }
});

test('an issuer that no proof can name is refused', () => {
  for (const host of [
    'my_broker',
    'broker.example.com.',
    '*',
    'a$b',
    'a!b',
    "a'b",
    '-',
    'a~b',
    'x'.repeat(300),
  ]) {
    refused('MAYFLY_ISSUER', { MAYFLY_ISSUER: `https://${host}` });
  }
});

test('every issuer that is accepted is its own one spelling, whatever is tried', () => {
  const odd = fc.string({ unit: fc.constantFrom(...'aZ09.-_~$*!()[]:/@%é '), maxLength: 12 });
  const issuer = fc
    .tuple(fc.constantFrom('https://', 'http://127.0.0.1', 'https://a', 'https://[::1]'), odd)
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.oneof(issuer, fc.webUrl()), (value) => {
      if (problemsOf({ MAYFLY_ISSUER: value }).length > 0) return;
      assert.equal(normaliseTarget(`${value}/`), `${value}/`);
    }),
  );
  for (const value of [
    'https://broker.example.com',
    'https://a-b.c:8443',
    'http://[::1]:8420',
    'https://10.0.0.1',
  ]) {
    assert.deepEqual(problemsOf({ MAYFLY_ISSUER: value }), []);
  }
});

test('a target of our own that cannot be read is a defect, not an empty text that a proof could name', () => {
  assert.throws(() => requireTarget('https://my_broker/oauth/token'), TypeError);
  assert.equal(requireTarget('https://a.example/oauth/token'), 'https://a.example/oauth/token');
});

test('a host that nothing can be bound to is refused', () => {
  for (const name of ['MAYFLY_HOST', 'MAYFLY_METRICS_HOST']) {
    for (const host of ['not a host', '*', 'http://127.0.0.1', '127.0.0.1:80', '[::1]', 'a_b']) {
      refused(name, { [name]: host });
    }
    for (const host of ['0.0.0.0', '::', '::1', 'fe80::1%eth0', 'localhost', 'Broker.internal']) {
      assert.deepEqual(problemsOf({ [name]: host }), [], host);
    }
  }
});

test('three ports are three ports', () => {
  refused('MAYFLY_PORT', { MAYFLY_METRICS_PORT: '8420' });
  refused('MAYFLY_SAMPLE_PORT', { MAYFLY_SAMPLE_PORT: '8420' });
  refused('MAYFLY_SAMPLE_PORT', { MAYFLY_SAMPLE_PORT: '8429' });
  refused('MAYFLY_SAMPLE_PORT', { MAYFLY_METRICS_PORT: '8421' });
  const external = { DATABASE_URL: 'postgres://a@127.0.0.1/a', MAYFLY_KEK: 'A'.repeat(43) };
  assert.deepEqual(
    problemsOf({ ...external, MAYFLY_METRICS_PORT: '8421' }),
    [],
    'no sample server beside that one',
  );
});

test('trusted proxies that are everybody are refused, however that is written', () => {
  for (const range of ['0.0.0.0/0', '10.1.2.3/0', '::/0', '10.0.0.0/8,::/00', '::ffff:0:0/96']) {
    refused('MAYFLY_TRUSTED_PROXIES', { MAYFLY_TRUSTED_PROXIES: range });
  }
  assert.deepEqual(problemsOf({ MAYFLY_TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.1, fd00::/8, 127.0.0.1' }), []);
});

test('TLS files that no listener could use are refused, each by its name', () => {
  const [one, other] = [makeCertificate(['localhost']), makeCertificate(['localhost'])];
  const certificate = fileOf('one.crt', one.certificate);
  const key = fileOf('one.key', one.privateKey);
  const otherKey = fileOf('other.key', other.privateKey);
  const [empty, nonsense] = [fileOf('empty', ''), fileOf('nonsense', 'not a PEM file')];
  const tls = { MAYFLY_TLS_CERT: certificate, MAYFLY_TLS_KEY: key };
  assert.deepEqual(problemsOf(tls), []);
  assert.deepEqual(problemsOf({ ...tls, MAYFLY_TLS_CLIENT_CA: certificate }), []);
  for (const bad of [empty, nonsense, folder]) {
    for (const name of ['MAYFLY_TLS_CERT', 'MAYFLY_TLS_KEY', 'MAYFLY_TLS_CLIENT_CA']) {
      refused(name, { ...tls, [name]: bad });
    }
  }
  refused('MAYFLY_TLS_KEY', { ...tls, MAYFLY_TLS_KEY: otherKey });
  refused('MAYFLY_TLS_KEY', { ...tls, MAYFLY_TLS_KEY: certificate });
});
