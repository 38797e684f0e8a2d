/**
 * docker-compose.yml, played without containers: what prepare.sh makes, the image's files owned by somebody else,
 * a user without rights, the owner's two commands, two brokers, the front, and an agent that comes in through it.
 */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SETTING_NAMES } from '../../src/config/settings.ts';
import { freePort, until } from '../broker-process.ts';
import { createTestAgent, newSessionKey, type TestAgent } from '../test-agent.ts';
import { asSuperuser } from '../test-cluster.ts';
import { createEmptyDatabase, type TestDatabase } from '../test-database.ts';
import { type BuiltImage, buildImage, listing } from './built-image.ts';
import { type Container, openPostgresPort, runMayfly, startContainer } from './container.ts';
import { type FrontRequest, startFront, withoutNginx } from './front.ts';
import { prepareDeployment, runPrepare } from './prepared-deployment.ts';

const ISSUER = 'https://broker.example.com';

let image: BuiltImage;
let database: TestDatabase;
let postgres: { port: number; close(): Promise<void> };
let prepared: string;
let files: string[];
let ports: [number, number];
let brokers: Container[] = [];
let front: Awaited<ReturnType<typeof startFront>>;

before(async () => {
  [image, database] = await Promise.all([buildImage(), createEmptyDatabase()]);
  postgres = await openPostgresPort(database.socketDirectory);
  prepared = await prepareDeployment(join(image.mounts, 'deployment'), {
    port: postgres.port,
    database: database.name,
  });
  files = await listing(image.app);
  ports = [await freePort(), await freePort()];
});

after(async () => {
  for (const { child } of brokers) child.kill('SIGKILL');
  await Promise.all(brokers.map(({ exit }) => exit));
  await front?.stop();
  await postgres?.close();
  await image?.remove();
});

test('prepare.sh makes secrets that only their owner gets at, and settings that mayfly knows', async () => {
  const written = await readFile(join(prepared, 'broker.env'), 'utf8');
  assert.equal(written, `MAYFLY_ISSUER=${ISSUER}\n`);
  for (const line of written.trim().split('\n')) assert.ok(SETTING_NAMES.has(line.split('=')[0] ?? ''));
  for (const name of ['report-writer', 'customers', 'security-on-call', 'platform-admin']) {
    const { mode } = await stat(join(prepared, 'clients', `${name}.private.jwk.json`));
    assert.equal(mode & 0o777, 0o600);
  }
  const again = await runPrepare(prepared).catch((error: { stderr: string }) => error.stderr);
  assert.match(String(again), /exists, and is left as it is/);
});

test('the owner migrates and applies the catalogue without the brokers’ secrets, and once is enough', async () => {
  const env = {
    MAYFLY_OWNER_DATABASE_URL_FILE: join(prepared, 'secrets', 'owner_database_url'),
    MAYFLY_SCOPES_DIR: join(prepared, 'scopes'),
  };
  const migrated = await runMayfly(image, ['migrate'], env);
  assert.deepEqual(migrated.code, 0, migrated.output);
  assert.match(migrated.output, /^Applied 0001-audit, /);
  assert.match((await runMayfly(image, ['migrate'], env)).output, /up to date/);
  const applied = await runMayfly(image, ['scopes', 'apply', '--as', 'docker-compose'], env);
  assert.match(applied.output, /^Version 1 is active: /);
  assert.match((await runMayfly(image, ['scopes', 'apply'], env)).output, /was active already/);
});

test('two brokers start from files that they cannot write to, and the health check sees them', async () => {
  brokers = ports.map((port) => startContainer(image, ['dist/launch.js', 'start'], brokerSettings(port)));
  await Promise.all(brokers.map(({ says }) => says('mayfly is up')));
  for (const port of ports) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
    assert.equal(ready.status, 200, await ready.text());
    assert.equal(await healthcheck({ MAYFLY_PORT: String(port), MAYFLY_HOST: '0.0.0.0' }), 0);
  }
});

test('an agent gets tokens through the front, of either broker, with one nonce', {
  skip: withoutNginx,
}, async () => {
  const folder = image.mounts;
  const secrets = join(prepared, 'secrets');
  front = await startFront({
    folder,
    secrets,
    port: await freePort(),
    healthPort: await freePort(),
    brokerPorts: ports,
  });
  const session = newSessionKey();
  const first = await mint(session);
  assert.equal(first.status, 400);
  assert.equal(JSON.parse(first.body).error, 'use_dpop_nonce');
  assert.equal(first.protocol, 'TLSv1.3');
  assert.match(String(first.headers['strict-transport-security']), /^max-age=\d+/);
  const nonce = String(first.headers['dpop-nonce']);
  for (let request = 0; request < 6; request += 1) {
    const { status, body } = await mint(session, { nonce });
    assert.equal(status, 200, body);
    assert.equal(JSON.parse(body).token_type, 'DPoP');
  }
  const log = await front.log();
  const servedBy = new Set(log.match(/"broker":"127\.0\.0\.1:\d+"/g));
  assert.equal(servedBy.size, 2, 'both brokers served');
  assert.doesNotMatch(log, /eyJ/, 'no token, proof or assertion is in the log of the front');
});

test('where a request comes from is what the front saw, whatever a stranger says', {
  skip: withoutNginx,
}, async () => {
  // A proof that is none is refused; one without a nonce would only be challenged, and leave no line.
  const forged = { 'X-Forwarded-For': '198.51.100.1', Forwarded: 'for=198.51.100.2', DPoP: 'nonsense' };
  const { status, body } = await mint(newSessionKey(), { headers: forged, localAddress: '127.0.0.7' });
  assert.equal(status, 400, body);
  const rows = await asSuperuser(
    database.socketDirectory,
    (client) =>
      client.query<{ source: string }>(
        `select details->>'source' as source from audit_entries
      where request_id = $1`,
        [JSON.parse(body).request_id],
      ),
    database.name,
  );
  assert.deepEqual(rows.rows, [{ source: '127.0.0.7' }]);
});

test('the feed comes through the front as it is written, not when enough of it has come', {
  skip: withoutNginx,
}, async () => {
  const audience = 'https://customers.example.com';
  const key = JSON.parse(await readFile(join(prepared, 'clients', 'customers.private.jwk.json'), 'utf8'));
  const server = createTestAgent({ url: ISSUER, issuer: ISSUER, clientId: audience, key });
  const headers = { Accept: 'text/event-stream', Authorization: `Bearer ${server.assertion()}` };
  const feed = front.watch({ path: '/v1/revocations?since=0', headers });
  const events = () => feed.received().match(/^event: ledger$/gm)?.length ?? 0;
  await until(() => events() === 1, 'the first page is there');
  await asSuperuser(
    database.socketDirectory,
    (client) =>
      client.query(
        `select append_revocation('rev_front', 'session', 'ses_front', false, null, 'r', 'a', 'aud_front', null)`,
      ),
    database.name,
  );
  await until(() => events() === 2, 'the next is there');
  feed.close();
});

test('the front speaks TLS 1.3 only, and leaves refusals to the broker', { skip: withoutNginx }, async () => {
  await assert.rejects(
    front.ask({ path: '/oauth/authorize', maxVersion: 'TLSv1.2' }),
    /alert protocol version/,
  );
  const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
  const refused = async (request: Partial<FrontRequest>) => {
    const { status, body } = await front.ask({
      path: '/oauth/token',
      method: 'POST',
      headers: form,
      ...request,
    });
    return `${status} ${JSON.parse(body).code} ${JSON.parse(body).request_id?.slice(0, 4)}`;
  };
  assert.equal(await refused({ body: `scope=${'x'.repeat(70_000)}` }), '413 content_too_large req_');
  assert.equal(await refused({ headers: { ...form, DPoP: ['a', 'b'] } }), '400 invalid_dpop_proof req_');
  assert.equal(await refused({ headers: { ...form, DPoP: 'x'.repeat(8_192) } }), '400 invalid_request req_');
  assert.equal(await refused({ path: '/oauth//token' }), '404 not_found req_');
  assert.equal(await refused({ path: '/readyz' }), '404 not_found undefined');
  assert.equal(await refused({ headers: { 'X-Long': 'x'.repeat(20_000) } }), '400 invalid_request undefined');
});

test('a broker that is told to stop answers what it has begun, and the other one goes on', {
  skip: withoutNginx,
}, async () => {
  const [one] = brokers;
  assert.ok(one);
  const session = newSessionKey();
  const nonce = String((await mint(session)).headers['dpop-nonce']);
  one.child.kill('SIGTERM');
  for (let request = 0; request < 20; request += 1) {
    const { status, body } = await mint(session, { nonce });
    assert.equal(status, 200, body);
  }
  assert.equal(await one.exit, 0, one.output());
});

test('what ran left nothing behind, and the health check sees that it is gone', async () => {
  for (const { child } of brokers) child.kill('SIGTERM');
  for (const { exit, output } of brokers) assert.equal(await exit, 0, output());
  assert.deepEqual(await listing(image.app), files);
  assert.equal(await healthcheck({ MAYFLY_PORT: String(ports[1]) }), 1);
});

test('without a broker the front says when to come back', { skip: withoutNginx }, async () => {
  const { status, headers, body } = await front.ask({ path: '/oauth/authorize' });
  assert.equal(status, 503);
  assert.equal(headers['retry-after'], '1');
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(JSON.parse(body).error, 'temporarily_unavailable');
});

test('the health check also sees a broker that ends TLS itself, with client certificates too', async () => {
  const certificate = join(prepared, 'secrets', 'front_certificate');
  const tls = { MAYFLY_TLS_CERT: certificate, MAYFLY_TLS_KEY: join(prepared, 'secrets', 'front_key') };
  for (const more of [{}, { MAYFLY_TLS_CLIENT_CA: certificate }]) {
    const settings = { ...brokerSettings(ports[0]), ...tls, ...more };
    const broker = startContainer(image, ['dist/launch.js', 'start'], settings);
    brokers.push(broker);
    await broker.says('mayfly is up');
    await until(async () => (await healthcheck(settings)) === 0, 'the health check succeeds');
    broker.child.kill('SIGTERM');
    assert.equal(await broker.exit, 0);
  }
});

function brokerSettings(port: number): Record<string, string> {
  return {
    MAYFLY_PORT: String(port),
    MAYFLY_ISSUER: ISSUER,
    MAYFLY_SCOPES_DIR: join(prepared, 'scopes'),
    DATABASE_URL_FILE: join(prepared, 'secrets', 'database_url'),
    MAYFLY_KEK_FILE: join(prepared, 'secrets', 'kek'),
    MAYFLY_TRUSTED_PROXIES: '127.0.0.1',
    MAYFLY_DRAIN_SECONDS: '2',
  };
}

function healthcheck(env: Record<string, string>): Promise<number | null> {
  return startContainer(image, ['healthcheck.js'], env).exit;
}

let agent: TestAgent | undefined;

async function mint(
  session: ReturnType<typeof newSessionKey>,
  {
    nonce,
    headers = {},
    localAddress,
  }: { nonce?: string; headers?: Record<string, string>; localAddress?: string } = {},
) {
  const key = JSON.parse(await readFile(join(prepared, 'clients', 'report-writer.private.jwk.json'), 'utf8'));
  agent ??= createTestAgent({ url: ISSUER, issuer: ISSUER, clientId: 'report-writer', key });
  const proof = agent.proof(session, { claims: nonce === undefined ? {} : { nonce } });
  return front.ask({
    method: 'POST',
    path: '/oauth/token',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded', DPoP: proof, ...headers },
    body: new URLSearchParams(agent.tokenFields() as Record<string, string>).toString(),
    ...(localAddress === undefined ? {} : { localAddress }),
  });
}
