/** `mayfly doctor` where something is really wrong: it names that hop, what to do, and ends as scripts know it. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { freePort } from '../broker-process.ts';
import { makeCertificate } from '../test-certificate.ts';
import { commandLine } from './command-line.ts';
import { openStrangeBroker } from './strange-broker.ts';

const DAY_MILLISECONDS = 86_400_000;

const folder = mkdtempSync(join(tmpdir(), 'mayfly-doctor-'));
const { d, ...publicJwk } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
const keyFile = fileOf('key.json', JSON.stringify({ ...publicJwk, d, kid: 'k' }));
const broker = await openStrangeBroker();
const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.close();
    if ('closeAllConnections' in server) (server.closeAllConnections as () => void)();
  }
  broker.close();
  rmSync(folder, { recursive: true });
});

function fileOf(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

type Examined = { hop: string; state: string; says: string; fix?: string };

async function examine(url: string, settings: Record<string, string> = {}, ...words: string[]) {
  const own = {
    MAYFLY_ISSUER: url,
    MAYFLY_AGENT: 'report-writer',
    MAYFLY_AGENT_KEY_FILE: keyFile,
    ...settings,
  };
  const outcome = await commandLine(own)(['doctor', '-o', 'json', '--timeout', '5', ...words]);
  assert.ok(!`${outcome.stdout}${outcome.stderr}`.includes(String(d)), 'nothing of the key');
  const { failing, hops } = JSON.parse(outcome.stdout) as { failing: string | null; hops: Examined[] };
  const found = hops.find(({ hop }) => hop === failing);
  return { ...outcome, failing, hops, text: `${found?.says} ${found?.fix}` };
}

/** A broker of that name, as far as its metadata goes, and whatever it answers else. */
async function serve(answer: RequestListener, url: (port: number) => string = loopback): Promise<string> {
  return url(await listen(createServer(answer)));
}
const loopback = (port: number) => `http://127.0.0.1:${port}`;
const json =
  (body: unknown, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    response.writeHead(200, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));

/** With a clock that is off by so much. */
const dated = (seconds: number) => ({ Date: new Date(Date.now() + seconds * 1_000).toUTCString() });

/** @param headers of each answer, as they are at that moment */
async function metadataWith(headers: () => Record<string, string> = () => ({})): Promise<string> {
  let url = '';
  url = await serve((request, response) =>
    json({ issuer: url, token_endpoint: `${url}/oauth/token` }, headers())(request, response),
  );
  return url;
}

async function tls(names: string[], now = Date.now()): Promise<{ port: number; ca: string }> {
  const { certificate, privateKey } = makeCertificate(names, now);
  const server = createTlsServer({ cert: certificate, key: privateKey });
  const port = await listen(server);
  server.on(
    'request',
    json({ issuer: `https://localhost:${port}`, token_endpoint: `https://localhost:${port}/t` }),
  );
  return { port, ca: fileOf(`ca-${port}.pem`, certificate) };
}

describe('mayfly doctor names', () => {
  test('a name that has no address', async () => {
    const { code, failing, text, hops } = await examine('https://broker.invalid');
    assert.deepEqual([code, failing], [4, 'name']);
    assert.match(text, /broker\.invalid has no address.*getent hosts broker\.invalid/);
    assert.deepEqual(
      hops.map(({ hop, state }) => `${hop} ${state}`),
      [
        'name failed',
        ...['tcp', 'tls', 'broker', 'ready', 'clock'].map((hop) => `${hop} skipped`),
        'key ok',
        ...['nonce', 'assertion', 'stopped', 'catalogue', 'actions'].map((hop) => `${hop} skipped`),
      ],
    );
  });

  test('a port at which nobody listens', async () => {
    const { code, failing, text, stderr } = await examine(loopback(await freePort()));
    assert.deepEqual([code, failing], [4, 'tcp']);
    assert.match(text, /Nobody listens at port \d+.*npm start/);
    assert.match(JSON.parse(stderr).error.message, /^tcp: Nobody listens/);
  });

  test('a certificate that nobody vouches for, one that has expired, and one for another name', async () => {
    const unknown = await tls(['localhost']);
    for (const [{ port, ca }, settings, says] of [
      [unknown, {}, /is not believed: DEPTH_ZERO_SELF_SIGNED_CERT.*NODE_EXTRA_CA_CERTS=/],
      [
        await tls(['localhost'], Date.now() - 3 * DAY_MILLISECONDS),
        'trusted',
        /has expired.*has to renew it/,
      ],
      [
        await tls(['elsewhere.example.com']),
        'trusted',
        /not believed.*ALTNAME.*It is for DNS:elsewhere\.example\.com/,
      ],
    ] as const) {
      const own = settings === 'trusted' ? { NODE_EXTRA_CA_CERTS: ca } : settings;
      const { code, failing, text } = await examine(`https://localhost:${port}`, own);
      assert.deepEqual([code, failing], [4, 'tls'], text);
      assert.match(text, says);
    }
    const { failing, hops } = await examine(`https://localhost:${unknown.port}`, {
      NODE_EXTRA_CA_CERTS: unknown.ca,
    });
    assert.notEqual(failing, 'tls');
    const { state, says, fix } = hops.find(({ hop }) => hop === 'tls') ?? {};
    assert.equal(state, 'warning', 'it ends tomorrow');
    assert.match(
      `${says} ${fix}`,
      /^TLSv1\.3, with a certificate by mayfly test, good for 0 days more\. .*renew it now/,
    );
  });

  test('a server that speaks no TLS where it is to', async () => {
    const url = await serve(json({}), (port) => `https://127.0.0.1:${port}`);
    const { code, failing, text } = await examine(url);
    assert.deepEqual([code, failing], [4, 'tls']);
    assert.match(text, /speaks no TLS.*openssl s_client -connect/);
  });

  test('a server that takes connections and says nothing, and one that hangs up', async () => {
    const silent = loopback(await listen(createTcpServer(() => {})));
    const { code, failing, text } = await examine(silent, {}, '--timeout', '1');
    assert.deepEqual([code, failing], [4, 'broker']);
    assert.match(text, /does not answer \(nothing for 1 s\).*curl -i/);
    const rude = await examine(await serve((_request, response) => void response.destroy()));
    assert.equal(rude.failing, 'broker');
  });

  test('a server that is no broker, one that redirects, and a broker of another name', async () => {
    const web = await examine(await serve((_request, response) => void response.end('<html>')));
    assert.match(web.text, /is no broker \(200 .*curl -i http:/);
    const moved = await serve((_request, response) => void response.writeHead(302, { Location: '/x' }).end());
    assert.match((await examine(moved)).text, /redirects elsewhere/);
    const other = await examine(await serve(json({ issuer: 'https://other.example.com' })));
    assert.match(
      other.text,
      /calls itself https:\/\/other\.example\.com.*--url https:\/\/other\.example\.com/,
    );
    for (const { code, failing } of [web, other]) assert.deepEqual([code, failing], [4, 'broker']);
  });

  test('clocks that are further apart than is put right, and those that are not (SDK-06)', async () => {
    for (const [seconds, way] of [
      [1_200, 'behind'],
      [-1_200, 'ahead of'],
    ] as const) {
      const { code, failing, text } = await examine(await metadataWith(() => dated(seconds)));
      assert.deepEqual([code, failing], [3, 'clock']);
      assert.match(
        text,
        new RegExp(`The clock here is (119\\d|120\\d) s ${way} the broker's; more than 900 s.*timedatectl`),
      );
    }
    const { failing, hops } = await examine(await metadataWith(() => dated(300)));
    assert.equal(failing, 'assertion', 'what comes next');
    assert.match(hops.find(({ hop }) => hop === 'clock')?.says ?? '', /put that right by themselves/);
  });

  test('a nonce that never gets through', async () => {
    broker.answers({
      management: {
        status: 400,
        body: { code: 'use_dpop_nonce' },
        headers: { 'DPoP-Nonce': 'another', 'Content-Type': 'application/problem+json' },
      },
    });
    const { code, failing, text } = await examine(broker.url);
    assert.deepEqual([code, failing], [3, 'nonce']);
    assert.match(text, /again and again.*let DPoP-Nonce and DPoP pass/);
  });

  test('a broker that does not say in time who we are', async () => {
    let url = '';
    url = await serve((request, response) => {
      if (request.method === 'GET')
        json({ issuer: url, token_endpoint: `${url}/oauth/token` })(request, response);
    });
    const { code, failing, text } = await examine(url, {}, '--timeout', '1');
    assert.deepEqual([code, failing], [3, 'assertion']);
    assert.match(text, /does not say in time who we are/);
  });

  test('a broker that would not mint, by what it says of itself', async () => {
    const checks = { database: { ok: false, detail: 'does not answer' }, signing_key: { ok: true } };
    broker.answers({
      management: ({ url }) => ({
        status: 503,
        body: url === '/readyz' ? { checks } : { code: 'temporarily_unavailable' },
      }),
    });
    const { code, failing, text } = await examine(broker.url);
    assert.deepEqual([code, failing], [2, 'ready']);
    assert.match(text, /would not mint now: database does not answer\..*runbook/);
  });

  test('a key that is not there, and warns of one that others can read', async () => {
    const url = await metadataWith();
    const { code, failing, text } = await examine(url, { MAYFLY_AGENT_KEY_FILE: join(folder, 'none') });
    assert.deepEqual([code, failing], [1, 'key']);
    assert.match(text, /none cannot be used.*ENOENT.*mayfly agent new/);
    chmodSync(keyFile, 0o644);
    const { hops, stderr } = await examine(url);
    chmodSync(keyFile, 0o600);
    const { state, says, fix } = hops.find(({ hop }) => hop === 'key') ?? {};
    assert.deepEqual([state, fix], ['warning', `chmod 600 ${keyFile}`]);
    assert.match(says ?? '', /^report-writer, EdDSA k, from .*Others can read it\.$/);
    assert.equal(stderr.trim().split('\n').length, 1, 'said once');
  });

  test('a resource that takes tokens of somebody else, or says nothing of itself', async () => {
    const url = await metadataWith();
    let resource = '';
    let servers = ['https://other.example.com'];
    resource = await serve((request, response) =>
      json({ resource, authorization_servers: servers })(request, response),
    );
    const other = (await examine(url, {}, '--resource', resource)).hops.at(-1);
    assert.deepEqual([other?.hop, other?.state], ['resource', 'failed']);
    assert.match(other?.says ?? '', /does not say that it takes tokens of http/);
    servers = [url];
    const terse = (await examine(url, {}, '--resource', resource)).hops.at(-1);
    assert.deepEqual([terse?.hop, terse?.state], ['resource', 'ok']);
    assert.match(terse?.says ?? '', /takes tokens of this broker, for actions that it does not name\.$/);
    const silent = await serve((_request, response) => void response.writeHead(404).end());
    const none = (await examine(url, {}, '--resource', silent)).hops.at(-1);
    assert.deepEqual([none?.hop, none?.state], ['resource', 'warning']);
  });
});
