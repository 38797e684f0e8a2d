import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { silentLog } from '../../src/errors/log.ts';
import { startResourceServer } from '../../src/sample/resource-server.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createPlace, startDevelopmentBroker } from '../sample/development-broker.ts';
import { ROOT, textOf } from './documents.ts';

function programOf(name: string): string {
  const [, program = ''] = textOf('README.md').split(`<!-- ${name} -->\n\`\`\`js\n`);
  return program.split('```')[0] ?? '';
}

const place = await createPlace();
const folder = await mkdtemp(join(tmpdir(), 'mayfly-readme-'));
await symlink(`${ROOT}node_modules`, join(folder, 'node_modules'));
await chmod(folder, 0o755);
const broker = await startDevelopmentBroker(place);
after(async () => {
  await broker.stop();
  await place.remove();
  await rm(folder, { recursive: true, force: true });
});

const { configuration } = place;
const { issuer, dataDirectory } = configuration;

test('the agent that speaks the protocol itself gets a token from a broker that was just started', async () => {
  const program = programOf('agent.mjs');
  await writeFile(join(folder, 'agent.mjs'), program);
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'agent.mjs')], {
    env: { ISSUER: issuer, KEY: join(dataDirectory, 'keys', 'report-writer.jwk.json') },
  });
  assert.match(stdout, /^200 \{\n {2}access_token: 'eyJ/);
  assert.match(stdout, /token_type: 'DPoP',\n {2}expires_in: 300,\n {2}scope: 'db:read:customers'/);
  assert.ok(program.trimEnd().split('\n').length <= 48);
});

test('the agent of a few lines calls the sample server', async () => {
  const server = await startResourceServer({ configuration, log: silentLog, clock: systemClock });
  await server.brokerFound;
  const program = programOf('first-token.mjs');
  assert.ok(program.trimEnd().split('\n').length <= 11);
  const placed = program
    .replace("'mayfly/agent'", `'${ROOT}src/sdk/index.ts'`)
    .replace("'mayfly/agent/node'", `'${ROOT}src/sdk/node.ts'`)
    .replace('http://127.0.0.1:8420', issuer)
    .replace('http://127.0.0.1:8421', server.url)
    .replace('.mayfly/', `${dataDirectory}/`);
  await writeFile(join(folder, 'first-token.mjs'), placed);
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'first-token.mjs')], {
    env: {},
  });
  assert.match(stdout, /^200 \{\n {2}data: \[/);
  await server.stop();
});
