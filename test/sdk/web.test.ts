import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { calculateJwkThumbprint, EmbeddedJWK, importJWK, type JWK, jwtVerify } from 'jose';
import { tokenHash } from '../../src/dpop/proof.ts';
import { until } from '../broker-process.ts';
import { newDeclaredKey } from '../test-scopes.ts';
import { findBrowser, modulesOf, openPage } from './browser.ts';
import { type Asked, type HostileServer, startHostileServer, TOKEN, tokenAnswer } from './hostile-server.ts';
import { WEB_OUTCOME, WEB_SCRIPT } from './web-script.ts';

const PROGRAM = fileURLToPath(new URL('web-program.ts', import.meta.url));
const ENTRY = 'src/sdk/index.ts';

/** Asks for a token, for a nonce once, and redirects whoever has both elsewhere. */
async function startServer() {
  const server = await startHostileServer();
  const { privateJwk } = newDeclaredKey();
  let isFresh = true;
  server.answers('POST /thing', ({ headers }) => {
    if (headers.authorization === undefined) {
      return { status: 401, headers: { 'WWW-Authenticate': 'DPoP scope="a:b:c"' } };
    }
    if (!isFresh) return { status: 200 };
    isFresh = false;
    const nonce = { 'DPoP-Nonce': 'one', 'WWW-Authenticate': 'DPoP error="use_dpop_nonce"' };
    return { status: 401, headers: nonce };
  });
  server.answers('GET /moved', { status: 302, headers: { Location: 'https://other.example.com/' } });
  server.answers(TOKEN, { status: 200, body: tokenAnswer() });
  return { ...server, privateJwk, key: JSON.stringify(privateJwk) };
}

/** With somebody else's code: what was sent is signed as RFC 7523 and RFC 9449 have it. */
async function checkSignatures({ url, asked, privateJwk }: HostileServer & { privateJwk: JWK }) {
  const { d: _private, ...agentJwk } = privateJwk;
  const agentKey = await importJWK(agentJwk, 'ES256');
  const keys = new Set<string>();
  for (const { line, headers, body } of asked.filter(({ headers }) => headers.dpop !== undefined)) {
    const { payload, protectedHeader } = await jwtVerify(String(headers.dpop), EmbeddedJWK, {
      typ: 'dpop+jwt',
    });
    keys.add(await calculateJwkThumbprint(protectedHeader.jwk as JWK));
    assert.equal(`${payload.htm} ${payload.htu}`, line.replace(' /', ` ${url}/`));
    const [, token] = headers.authorization?.split(' ') ?? [];
    assert.equal(payload.ath, token === undefined ? undefined : tokenHash(token));
    const assertion = assertionOf({ line, body });
    if (assertion !== null) await jwtVerify(assertion, agentKey, { issuer: 'a', audience: url });
  }
  assert.equal(keys.size, 2, 'one key for each session');
  const shown = asked.filter(({ headers }) => headers.authorization !== undefined);
  assert.ok(shown.length >= 3 && shown.every(({ headers }) => headers.authorization?.startsWith('DPoP ')));
}

function assertionOf({ line, body }: Pick<Asked, 'line' | 'body'>): string | null {
  return line === TOKEN ? new URLSearchParams(body).get('client_assertion') : null;
}

test('The entry for agents imports nothing, and runs where there is only what the web has', async () => {
  const server = await startServer();
  const flags = ['--experimental-vm-modules', '--no-warnings'];
  const entry = new URL(`../../${ENTRY}`, import.meta.url).href;
  const given = [PROGRAM, entry, server.url, server.key];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...given]);
  assert.deepEqual(JSON.parse(stdout), WEB_OUTCOME);
  await checkSignatures(server);
});

/** Serves what a browser needs to run the script; where, it is told. */
function servePage(server: Awaited<ReturnType<typeof startServer>>, place: 'page' | 'worker'): void {
  const serve = (path: string, type: string, body: string) =>
    server.answers(`GET /${path}`, { status: 200, headers: { 'Content-Type': type }, body });
  for (const [path, text] of modulesOf(ENTRY)) serve(path, 'text/javascript', text);
  const program = `
    const told = import('/${ENTRY}').then((mayfly) => {
      Object.assign(globalThis, { mayfly, issuer: '${server.url}', key: ${JSON.stringify(server.key)} });
      return (${WEB_SCRIPT});
    });
    await fetch('/told', { method: 'POST', body: await told.catch((error) => String(error.stack)) });
  `;
  serve('program.js', 'text/javascript', program);
  const start = { page: `import('/program.js')`, worker: `new Worker('/program.js', { type: 'module' })` };
  serve('', 'text/html', `<script type="module">${start[place]}</script>`);
  server.answers('POST /told', { status: 204, body: '' });
}

/** What the script came to; or what went wrong there, in words. */
function outcomeOf(text = ''): unknown {
  return text.startsWith('[') ? JSON.parse(text) : text;
}

const browser = findBrowser();
const skip = browser === undefined && 'NOT TESTED: there is no Chromium here';

for (const place of ['page', 'worker'] as const) {
  test(`It runs in a ${place} of a browser`, { skip }, async () => {
    const server = await startServer();
    servePage(server, place);
    const close = openPage(browser ?? '', `${server.url}/`);
    try {
      await until(() => server.times('POST /told') > 0, 'the page tells what happened', 30_000);
    } finally {
      await close();
    }
    const [told] = server.asked.filter(({ line }) => line === 'POST /told');
    assert.deepEqual(outcomeOf(told?.body), WEB_OUTCOME);
    assert.match(told?.headers['user-agent'] ?? '', /Chrome/);
    await checkSignatures(server);
  });
}
