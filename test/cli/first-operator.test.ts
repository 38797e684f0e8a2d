/** The first operators of a catalogue: a key, a reviewed file, and commands as that person from then on. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  createPlace,
  type Place,
  type Running,
  startDevelopmentBroker,
} from '../sample/development-broker.ts';
import { commandLine } from './command-line.ts';

const folder = mkdtempSync(join(tmpdir(), 'mayfly-cli-'));
const scopes = join(folder, 'scopes');
const keyOf = (name: string) => join(folder, `${name}.jwk.json`);

let place: Place;
let broker: Running;

before(async () => {
  place = await createPlace();
  place.settings.MAYFLY_SCOPES_DIR = scopes;
  cpSync(new URL('../../scopes', import.meta.url), scopes, { recursive: true });
  const mayfly = commandLine(place.settings);
  for (const [name, role, algorithm] of [
    ['alice', 'security', 'Ed25519'],
    ['bob', 'approver', 'ES256'],
  ] as const) {
    const options = [
      '--title',
      `${name} of the tests`,
      '--role',
      role,
      '--algorithm',
      algorithm,
      '--key',
      keyOf(name),
    ];
    const { code, stderr } = await mayfly(['operator', 'new', name, ...options]);
    assert.equal(code, 0, stderr);
  }
  broker = await startDevelopmentBroker(place);
});
after(async () => {
  await broker?.stop();
  await place.remove();
  rmSync(folder, { recursive: true });
});

function as(name: string, key = keyOf(name)) {
  return commandLine({ ...place.settings, MAYFLY_OPERATOR: name, MAYFLY_OPERATOR_KEY_FILE: key });
}

test('an operator with a key of its own is let in, by settings or by options', async () => {
  const bySettings = await as('alice')('session list --kind operator -o jsonl');
  assert.equal(bySettings.code, 0, bySettings.stderr);
  assert.equal(JSON.parse(bySettings.stdout.split('\n')[0] ?? '').agent, 'alice');
  const byOptions = await commandLine(place.settings)(`session list --as alice --key ${keyOf('alice')}`);
  assert.equal(byOptions.code, 0, byOptions.stderr);
});

test('may do what the roles in the file give, and nothing else', async () => {
  const { code, stdout, stderr } = await as('bob')('agent revoke report-writer --reason test --yes');
  assert.deepEqual([code, stdout], [5, '']);
  assert.match(stderr, /^invalid_scope: .*scopes\/operators\/bob\.yaml/);
  assert.equal((await as('bob')('agent show report-writer')).code, 0);
  assert.equal((await as('alice')('agent revoke report-writer --reason test --yes')).code, 0);
});

test('is nobody with the key of somebody else, and a key without a name is asked whose it is', async () => {
  assert.equal((await as('alice', keyOf('bob'))('session list')).code, 3);
  const { code, stderr } = await commandLine(place.settings)(`session list --key ${keyOf('alice')}`);
  assert.equal(code, 1);
  assert.match(stderr, /Whose key is that\?/);
});

test('what keeps a catalogue from being applied is shown, and not only counted', async () => {
  const broken = join(folder, 'broken');
  cpSync(scopes, broken, { recursive: true });
  writeFileSync(join(broken, 'operators', 'carol.yaml'), 'operator: carol\ntitle: Nobody\nroles: [root]\n');
  const { code, stdout, stderr } = await commandLine(place.settings)(`scopes apply ${broken} --as test`);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /cannot be applied:\n\n[\s\S]*operators\/carol\.yaml:3:\d+ {2}error/);
  assert.match(stderr, /\d errors?\.\n$/);
});
