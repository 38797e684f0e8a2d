import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { newKekText } from '../../src/signing-keys/key-encryption-key.ts';
import { KEY_PURPOSES } from '../../src/signing-keys/key-state.ts';
import { createTestDatabase } from '../test-database.ts';

const PROGRAM = fileURLToPath(new URL('run-key-commands.ts', import.meta.url));

type Outcome = { code: number; stdout: string; stderr: string };
type Keks = { kek: string; previous?: string };

function run(url: string, { kek, previous = '' }: Keks, words: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, url, kek, previous, ...words], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A database and the command line on it. */
async function terminal(t: TestContext) {
  const { applicationUrl } = await createTestDatabase(t);
  const kek = newKekText();
  const keys = (line: string, keks: Keks = { kek }) => run(applicationUrl, keks, line.split(' '));
  return { keys, kek, listed: async () => JSON.parse((await keys('list -o json')).stdout) };
}

describe('mayfly keys', () => {
  it('rotates, lists and revokes, in words and as JSON', async (t) => {
    const { keys, listed } = await terminal(t);
    assert.deepEqual(await listed(), []);

    const first = await keys('rotate');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^kid +purpose +state +published_at +active_from +retire_at\n/);
    assert.match(first.stdout, /\n[\w-]{43} +token +active +\d{4}-\d\d-\d\dT[\d:.]+Z/);
    const [token] = (await listed()).filter((key: { purpose: string }) => key.purpose === 'token');
    assert.deepEqual(Object.keys(token), [
      ...['kid', 'purpose', 'generation', 'state', 'published_at', 'active_from', 'retire_at', 'revoked_at'],
      'sealed_by',
    ]);

    await keys('rotate');
    await keys('rotate --purpose ledger --immediately');
    const states = (await listed()).map(
      (key: { purpose: string; state: string }) => `${key.purpose} ${key.state}`,
    );
    assert.deepEqual(states, [
      'ledger overlapping',
      'ledger active',
      'log active',
      'nonce active',
      'token active',
      'token published',
    ]);

    const hesitant = await keys(`revoke ${token.kid}`);
    assert.deepEqual([hesitant.code, hesitant.stdout], [1, '']);
    assert.match(hesitant.stderr, /Say --yes/);
    assert.equal((await keys(`revoke ${token.kid} --yes`)).code, 0);
    const after = (await listed()).filter((key: { purpose: string }) => key.purpose === 'token');
    assert.deepEqual(
      after.map((key: { state: string }) => key.state),
      ['revoked', 'active'],
    );
    assert.equal((await keys(`revoke ${token.kid} --yes`)).code, 1);
  });

  it('changes the key-encryption key', async (t) => {
    const { keys, kek } = await terminal(t);
    await keys('rotate');
    const fresh = (await keys('new-kek')).stdout.trim();
    const resealed = await keys('reseal', { kek: fresh, previous: kek });
    assert.deepEqual(
      [resealed.code, resealed.stderr],
      [0, 'Sealed 4 keys with the current key-encryption key.\n'],
    );
    const tooLate = await keys('reseal');
    assert.match(
      tooLate.stderr,
      /^Sealed 0 keys.*\n(?:.*\n)*The token key [\w-]{43} could not be opened \(kek_missing\)/,
    );
  });

  it('abandons keys only when told twice', async (t) => {
    const { keys, kek } = await terminal(t);
    await keys('rotate');
    const other = { kek: newKekText() };
    const asked = await keys('abandon', other);
    assert.equal(asked.code, 1);
    assert.equal(asked.stdout.split('\n').length - 1, KEY_PURPOSES.length);
    assert.match(asked.stderr, /Say --yes/);
    const done = await keys('abandon --yes', other);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout, asked.stdout);
    assert.match((await keys('abandon --yes', other)).stderr, /nothing to abandon/);
    assert.equal((await keys('abandon', { kek })).code, 1, 'now it is the first one that does not open them');
  });

  it('prints a fresh key-encryption key and nothing else on stdout, without a database', async () => {
    const [one, other] = [await run('', { kek: '' }, ['new-kek']), await run('', { kek: '' }, ['new-kek'])];
    assert.match(one.stdout, /^[A-Za-z0-9_-]{43}\n$/);
    assert.notEqual(one.stdout, other.stdout);
    assert.match(one.stderr, /stored nowhere else/);
    assert.ok(!one.stderr.includes(one.stdout.trim()));
  });

  it('refuses a purpose, an option or a command that does not exist', async (t) => {
    const { keys } = await terminal(t);
    for (const line of ['rotate --purpose tokens', 'rotate --force', 'destroy', 'list -o yaml']) {
      const { code, stdout } = await keys(line);
      assert.notEqual(code, 0, line);
      assert.equal(stdout, '');
    }
  });
});
