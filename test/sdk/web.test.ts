import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { newDeclaredKey } from '../test-scopes.ts';
import { startHostileServer, TOKEN, tokenAnswer } from './hostile-server.ts';

const PROGRAM = fileURLToPath(new URL('web-program.ts', import.meta.url));
const ENTRY = new URL('../../src/sdk/index.ts', import.meta.url).href;

test('The entry for agents imports nothing, and runs where there is only what the web has', async () => {
  const server = await startHostileServer();
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
  server.answers(TOKEN, { status: 200, body: tokenAnswer() });
  const key = JSON.stringify(newDeclaredKey().privateJwk);
  const flags = ['--experimental-vm-modules', '--no-warnings'];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, PROGRAM, ENTRY, server.url, key]);
  assert.deepEqual(JSON.parse(stdout), [[], 200, 200, 'ses_1', true, 'closed']);
});
