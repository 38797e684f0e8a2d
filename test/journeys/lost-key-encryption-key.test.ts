import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cleanEnvironment, freePort, startBrokerProcess } from '../broker-process.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-kek-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a broker that lost its key-encryption key says so, and goes on after its keys were abandoned', async () => {
  const settings = { MAYFLY_PORT: String(await freePort()), MAYFLY_DATA_DIR: join(folder, 'data') };
  const mayfly = (...args: string[]) =>
    execFileSync(process.execPath, ['src/launch.js', ...args], {
      env: cleanEnvironment(settings),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const agentAt = (url: string) => {
    const key = JSON.parse(readFileSync(join(folder, 'data', 'keys', 'report-writer.jwk.json'), 'utf8'));
    return createTestAgent({ url, issuer: url, clientId: 'report-writer', key });
  };

  const first = startBrokerProcess({ settings });
  const before = await agentAt(await first.url).token(newSessionKey());
  assert.equal(before.status, 200);
  first.child.kill('SIGTERM');
  await first.exited;

  rmSync(join(folder, 'data', 'kek'));
  const second = startBrokerProcess({ settings });
  const { code } = await second.exited;
  assert.equal(code, 1);
  assert.match(second.output(), /keys abandon/);
  assert.doesNotMatch(second.output(), /\n\s+at /);

  mayfly('keys', 'abandon', '--yes');
  const third = startBrokerProcess({ settings });
  const url = await third.url;
  const agent = agentAt(url);
  const after = await agent.token(newSessionKey());
  assert.equal(after.status, 200, JSON.stringify(after.body));
  const keys = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] };
  const [header = ''] = before.body.access_token.split('.');
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString());
  assert.ok(!keys.keys.some((key) => key.kid === kid), 'what the lost key signed does not verify any more');
  third.child.kill('SIGTERM');
  await third.exited;
});
