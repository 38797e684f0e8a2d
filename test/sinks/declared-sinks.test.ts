/** `MAYFLY_AUDIT_SINKS` as `mayfly start` takes it: all or nothing, and every mistake at once. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { requireSinks, SinksError } from '../../src/declared-sinks.ts';
import { commandLine } from '../cli/command-line.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-declared-sinks-'));
after(() => rmSync(folder, { recursive: true }));
const dataDirectory = join(folder, 'data');

function file(text: string): string {
  const path = join(folder, 'sinks.yaml');
  writeFileSync(path, text);
  return path;
}

const SECRET = 'a-secret-that-somebody-wrote-into-the-file';
const MISTAKEN = `
sinks:
  archive: { kind: file, path: relative.jsonl }
  hook: { kind: webhook, url: "http://hooks.example.com/", secret: ${SECRET} }
  itself: { kind: otlp, endpoint: "https://broker.example.com/" }
  strange: { kind: pigeon }
`;

for (const command of ['start', 'start --check-config']) {
  test(`mayfly ${command} tells every mistake of the file, starts nothing and ends with 1`, async () => {
    const mayfly = commandLine({
      MAYFLY_AUDIT_SINKS: file(MISTAKEN),
      MAYFLY_ISSUER: 'https://broker.example.com',
      MAYFLY_DATA_DIR: dataDirectory,
    });
    const { code, stdout, stderr } = await mayfly(command);
    assert.equal(code, 1, stderr);
    assert.equal(stdout, '');
    for (const place of [':3:', ':4:', ':5:', ':6:'])
      assert.ok(stderr.includes(`sinks.yaml${place}`), stderr);
    assert.match(stderr, /own-address/);
    assert.ok(!stderr.includes(SECRET), stderr);
    assert.equal(existsSync(dataDirectory), false);
  });
}

test('--check-config names the sinks of a good file', async () => {
  const path = file('sinks: { archive: { kind: file, path: /var/log/mayfly.jsonl } }');
  const mayfly = commandLine({ MAYFLY_AUDIT_SINKS: path, MAYFLY_DATA_DIR: dataDirectory });
  const { code, stdout } = await mayfly('start --check-config');
  assert.deepEqual([code, stdout.includes(', sinks: archive.')], [0, true], stdout);
});

test('the addresses at which a broker listens are its own, whatever its issuer is called', () => {
  const wanted = (host: string) => ({
    auditSinks: file(
      `{ allowed_hosts: [localhost], sinks: { here: { kind: otlp, endpoint: "http://localhost:8420" } } }`,
    ),
    issuer: 'https://broker.example.com',
    host,
    port: 8420,
  });
  for (const host of ['127.0.0.1', '::', '0.0.0.0', 'broker.internal']) {
    assert.throws(() => requireSinks(wanted(host), {}), SinksError, host);
  }
  assert.equal(requireSinks({ ...wanted('127.0.0.1'), port: 8421 }, {}).length, 1);
  assert.deepEqual(requireSinks({ ...wanted('127.0.0.1'), auditSinks: undefined }, {}), []);
});
