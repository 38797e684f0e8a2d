import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { loadSinks, readSinks } from '../../src/sinks/read-sinks.ts';
import { makeCertificate } from '../test-certificate.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-read-sinks-'));
after(() => rmSync(folder, { recursive: true }));
function fileWith(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
const { certificate, privateKey } = makeCertificate(['client.example']);
const ca = fileWith('ca.pem', certificate);
const key = fileWith('key.pem', privateKey);
const otherKey = fileWith('other-key.pem', makeCertificate(['other.example']).privateKey);
const secretFile = fileWith('secret', 'a-secret-in-a-file-that-is-long-enough\n');
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

const environment = {
  AUDIT_SINK_HOOK: SECRET,
  AUDIT_SINK_KEY: 'Bearer abc',
  MAYFLY_KEK: 'k'.repeat(43),
  AUDIT_SINK_CRLF: 'a\r\nX: y',
};
const read = (text: string) => readSinks({ file: 'sinks.yaml', text, environment });
const rulesOf = (text: string) => read(text).problems.map(({ rule, line }) => `${line} ${rule}`);

test('every kind of sink is read, with what it names', () => {
  const { sinks, problems } = read(`
allowed_hosts: [collector.internal]
sinks:
  archive: { kind: file, path: /var/log/mayfly/audit.jsonl }
  siem:
    kind: syslog
    format: ocsf
    host: siem.example.com
    port: 16514
    server_name: logs.example.com
    max_message_bytes: 65536
    ca: ${ca}
    certificate: ${ca}
    private_key: ${key}
  plain-siem: { kind: syslog, host: siem.example.com }
  hook:
    kind: webhook
    url: https://hooks.example.com/mayfly?x=1
    secret: { env: AUDIT_SINK_HOOK }
    headers: { authorization: { env: AUDIT_SINK_KEY } }
  inside: { kind: webhook, url: "http://collector.internal:8080/", secret: { file: ${secretFile} } }
  otel: { kind: otlp, endpoint: "https://otel.example.com:4318/", compression: gzip, ca: ${ca} }
  otel-below: { kind: otlp, endpoint: https://otel.example.com/tenant/a }
`);
  assert.deepEqual(problems, []);
  const byName = Object.fromEntries(sinks.map((sink) => [sink.name, sink]));
  assert.deepEqual(byName.archive, {
    name: 'archive',
    kind: 'file',
    format: 'native',
    path: '/var/log/mayfly/audit.jsonl',
  });
  assert.deepEqual(byName.siem, {
    name: 'siem',
    kind: 'syslog',
    format: 'ocsf',
    target: {
      host: 'siem.example.com',
      port: 16_514,
      serverName: 'logs.example.com',
      maxMessageBytes: 65_536,
      tls: { ca: certificate, certificate, privateKey },
    },
  });
  const { hook, inside, otel, 'otel-below': below, 'plain-siem': plain } = byName;
  assert.ok(hook?.kind === 'webhook' && inside?.kind === 'webhook');
  assert.ok(otel?.kind === 'otlp' && below?.kind === 'otlp' && plain?.kind === 'syslog');
  assert.deepEqual(hook.secret.export(), Buffer.from(SECRET.slice(6), 'base64'));
  assert.equal(hook.target.headers.authorization?.reveal(), 'Bearer abc');
  assert.equal(hook.target.allowPrivate, false);
  assert.equal(inside.target.allowPrivate, true);
  assert.equal(inside.secret.export().toString(), 'a-secret-in-a-file-that-is-long-enough');
  assert.equal(otel.target.url.href, 'https://otel.example.com:4318/v1/logs');
  assert.equal(below.target.url.href, 'https://otel.example.com/tenant/a/v1/logs');
  assert.equal(otel.compress, true);
  assert.deepEqual([plain.target.port, plain.target.serverName], [6_514, 'siem.example.com']);
  for (const secret of ['abc', 'a-secret-in-a-file', SECRET]) {
    assert.ok(!inspect(sinks, { depth: 10 }).includes(secret), 'no secret is printed');
    assert.ok(!JSON.stringify(sinks).includes(secret));
  }
});

test('a private address is refused before anything is sent there, unless somebody allowed it; one of a cloud never', () => {
  const sink = (url: string) =>
    `sinks: { a: { kind: webhook, url: "${url}", secret: { env: AUDIT_SINK_HOOK } } }`;
  const otlp = (url: string) => `sinks: { a: { kind: otlp, endpoint: "${url}" } }`;
  for (const host of [
    '10.1.2.3',
    '127.0.0.1',
    '192.168.0.7',
    '[::1]',
    '[fd00::1]',
    '[::ffff:10.0.0.1]',
    '0x7f.1',
  ]) {
    const { hostname } = new URL(`https://${host}/`);
    for (const declared of [sink(`https://${host}/`), otlp(`https://${host}`)]) {
      const { problems } = read(declared);
      assert.deepEqual(
        problems.map(({ rule }) => rule),
        ['private-address'],
        host,
      );
      assert.match(problems[0]?.fix ?? '', /allowed_hosts/);
      if (!host.includes('ffff'))
        assert.deepEqual(read(`allowed_hosts: ["${hostname}"]\n${declared}`).problems, []);
    }
  }
  for (const host of ['169.254.169.254', '[fd00:ec2::254]', '100.100.100.200']) {
    const declared = `allowed_hosts: ["${host}"]\n${sink(`https://${host}/`)}`;
    assert.deepEqual(
      rulesOf(declared).map((each) => each.split(' ')[1]),
      ['private-address'],
      host,
    );
  }
  assert.deepEqual(rulesOf(sink('https://93.184.216.34/')), []);
});

test('all mistakes are told at once, each at its place, and then nothing is declared', () => {
  const text = `
allowed_hosts: [unused.internal]
sinks:
  Bad_Name: { kind: file, path: /a }
  relative: { kind: file, path: audit.jsonl }
  pigeon: { kind: pigeon }
  empty:
  kindless: { path: /a }
  plain: { kind: webhook, url: "http://hooks.example.com/", secret: { env: AUDIT_SINK_HOOK } }
  inline: { kind: webhook, url: https://hooks.example.com/, secret: hunter2hunter2hunter2hunter2 }
  unsigned: { kind: webhook, url: https://hooks.example.com/ }
  userinfo: { kind: otlp, endpoint: "https://a:b@otel.example.com/" }
  thief: { kind: otlp, endpoint: https://otel.example.com/, headers: { x-key: { env: MAYFLY_KEK } } }
  unset: { kind: otlp, endpoint: https://otel.example.com/, headers: { x-key: { env: AUDIT_SINK_UNSET } } }
  split: { kind: otlp, endpoint: https://otel.example.com/, headers: { x-key: { env: AUDIT_SINK_CRLF } } }
  host: { kind: otlp, endpoint: https://otel.example.com/, headers: { host: { env: AUDIT_SINK_KEY } } }
  half: { kind: syslog, host: siem.example.com, certificate: ${ca} }
  wrong: { kind: syslog, host: siem.example.com, certificate: ${ca}, private_key: ${otherKey} }
  swapped: { kind: syslog, host: siem.example.com, ca: ${key} }
  gone: { kind: syslog, host: siem.example.com, ca: /nowhere/ca.pem }
  shown: { kind: otlp, endpoint: https://otel.example.com/, headers: { x-key: { env: hunter2 }, y-key: { file: hunter2 } } }
  ports: { kind: syslog, host: siem.example.com, port: 65536, colour: blue }
`;
  const { sinks, problems } = read(text);
  assert.deepEqual(sinks, []);
  assert.deepEqual(
    problems.map(({ rule, line }) => `${line} ${rule}`),
    [
      '4 invalid-value',
      '5 invalid-value',
      '6 invalid-value',
      '7 invalid-value',
      '8 missing-key',
      '9 no-tls',
      '10 no-secret',
      '11 missing-key',
      '12 invalid-value',
      '13 no-secret',
      '14 no-secret',
      '15 no-secret',
      '16 invalid-value',
      '17 invalid-certificate',
      '18 invalid-certificate',
      '19 invalid-certificate',
      '20 invalid-certificate',
      '21 no-secret',
      '21 no-secret',
      '22 invalid-value',
      '22 unknown-key',
    ],
  );
  const told = JSON.stringify(problems);
  for (const secret of ['hunter2', environment.MAYFLY_KEK, 'a\\r\\nX'])
    assert.ok(!told.includes(secret), secret);
});

test('a URL is refused unless it is plainly one of a server', () => {
  for (const url of [
    'ftp://a.example/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://',
    'https://a b/',
    'https://user@a.example/',
    'https://a.example/#fragment',
    'https:a.example',
    'https:\\\\a.example\\',
    'https://a_b.example/',
    'https://[fe80::1%25eth0]/',
    'https://xn--\u0000/',
    `https://${'a'.repeat(300)}.example/`,
    `https://a.example/${'a'.repeat(3_000)}`,
  ]) {
    const text = `sinks: { a: { kind: webhook, url: ${JSON.stringify(url)}, secret: { env: AUDIT_SINK_HOOK } } }`;
    assert.notDeepEqual(rulesOf(text), [], url);
  }
});

test('a password in a URL is refused, and not told', () => {
  const url = 'https://user:hunter2@hooks.example.com/';
  const { problems } = read(
    `sinks: { a: { kind: webhook, url: "${url}", secret: { env: AUDIT_SINK_HOOK } } }`,
  );
  assert.match(problems[0]?.message ?? '', /found "https:\/\/…@hooks\.example\.com\/"/);
});

test('a permission that no sink needs is a mistake', () => {
  const text = (host: string) =>
    `allowed_hosts: [${host}]\nsinks: { a: { kind: otlp, endpoint: "http://collector.internal/" } }`;
  assert.deepEqual(rulesOf(text('collector.internal')), []);
  assert.deepEqual(rulesOf(text('collector.internal, other.internal')), ['1 unused-host']);
  assert.deepEqual(rulesOf(text('"*.internal"')), ['1 invalid-value', '2 no-tls']);
});

test('two sinks do not share a file', () => {
  const text = `sinks:\n  a: { kind: file, path: /x }\n  b: { kind: file, path: /x }`;
  assert.deepEqual(rulesOf(text), ['3 duplicate-path']);
});

test('what YAML can say misleadingly is refused here as in scopes/', () => {
  for (const text of [
    'sinks: { a: { kind: file, path: /x, path: /y } }',
    'sinks: { a: &a { kind: file, path: /x }, b: *a }',
    'sinks: { a: { kind: !!str file, path: /x } }',
    'sinks: [1]',
    'sinks: {',
    '',
    '%YAML 1.1\n---\nsinks: {}',
    `sinks: { ${Array.from({ length: 21 }, (_, index) => `s${index}: { kind: file, path: /x${index} }`)} }`,
  ]) {
    const { sinks, problems } = read(text);
    assert.deepEqual(sinks, [], text);
    assert.notDeepEqual(problems, [], text);
  }
  assert.deepEqual(read('sinks: {}'), { sinks: [], problems: [] });
});

test('a file that is missing, too large, no text or no file is one problem', () => {
  const large = fileWith('large.yaml', `# ${'x'.repeat(70_000)}`);
  const binary = join(folder, 'binary.yaml');
  writeFileSync(binary, Buffer.of(0xff, 0xfe));
  for (const path of ['/nowhere/sinks.yaml', large, binary, folder, '/dev/zero']) {
    assert.deepEqual(
      loadSinks(path, {}).problems.map(({ rule }) => rule),
      ['sinks-unreadable'],
    );
  }
  assert.deepEqual(loadSinks(fileWith('sinks.yaml', 'sinks: {}'), {}), { sinks: [], problems: [] });
});

test('nothing is sent to the broker itself, by whatever name and scheme', () => {
  const own = ['broker.example.com:443', '127.0.0.1:8420'];
  const rules = (url: string, kind: 'webhook' | 'otlp') => {
    const text =
      kind === 'webhook'
        ? `kind: webhook, url: "${url}", secret: { env: AUDIT_SINK_HOOK }`
        : `kind: otlp, endpoint: "${url}"`;
    const { sinks, problems } = readSinks({
      file: 'sinks.yaml',
      text: `{ allowed_hosts: [127.0.0.1], sinks: { here: { ${text} } } }`,
      environment,
      own,
    });
    assert.equal(sinks.length === 0, problems.length > 0);
    return problems.map(({ rule }) => rule).filter((rule) => rule !== 'unused-host');
  };
  for (const kind of ['webhook', 'otlp'] as const) {
    for (const url of [
      'https://broker.example.com/',
      'https://broker.example.com:443/x',
      'https://BROKER.example.com/hook',
      'http://127.0.0.1:8420/oauth/token',
      'https://127.0.0.1:8420',
      'http://0x7f.1:8420/',
    ]) {
      assert.deepEqual(rules(url, kind), ['own-address'], url);
    }
    assert.deepEqual(rules('https://broker.example.com:8443/', kind), []);
    assert.deepEqual(rules('http://127.0.0.1:4318/', kind), []);
  }
});
