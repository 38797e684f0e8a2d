import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { createPlace, startDevelopmentBroker } from '../sample/development-broker.ts';
import { ROOT, textOf } from './documents.ts';

test('the agent in the README gets a token from a broker that was just started', async (t) => {
  const place = await createPlace();
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-readme-'));
  const [, program = ''] = /<!-- agent\.mjs -->\n```js\n([\s\S]*?)```/.exec(textOf('README.md')) ?? [];
  await writeFile(join(folder, 'agent.mjs'), program);
  await symlink(`${ROOT}node_modules`, join(folder, 'node_modules'));
  await chmod(folder, 0o755);

  const broker = await startDevelopmentBroker(place);
  t.after(async () => {
    await broker.stop();
    await place.remove();
    await rm(folder, { recursive: true, force: true });
  });
  const { issuer, dataDirectory } = place.configuration;
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'agent.mjs')], {
    env: { ISSUER: issuer, KEY: join(dataDirectory, 'keys', 'report-writer.jwk.json') },
  });
  assert.match(stdout, /^200 \{\n {2}access_token: 'eyJ/);
  assert.match(stdout, /token_type: 'DPoP',\n {2}expires_in: 300,\n {2}scope: 'db:read:customers'/);
  assert.ok(program.trimEnd().split('\n').length <= 48);
});
