import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { importKeks, newKekText, parseKek } from '../../src/signing-keys/key-encryption-key.ts';
import { KeyRingError } from '../../src/signing-keys/key-ring-error.ts';
import { loadOrCreateKek } from '../../src/signing-keys/load-kek.ts';

const GUESSABLE: readonly [string, Buffer][] = [
  ['zeros', Buffer.alloc(32)],
  ['one byte', Buffer.alloc(32, 0xa5)],
  ['a counted sequence', Buffer.from(Array.from({ length: 32 }, (_, index) => index))],
  ['a sequence that counts down', Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index))],
  ['a passphrase', Buffer.from('correct horse battery staple ok!')],
  ['a passphrase of many characters', Buffer.from('Tr0ub4dor&3-xkcd:936!pAssphrZe?~')],
  ['two bytes in turn', Buffer.from('00ff'.repeat(16), 'hex')],
  ['a short key and padding', Buffer.concat([randomBytes(12), Buffer.alloc(20)])],
];

describe('a key-encryption key', () => {
  it('is read back from the text that was printed', () => {
    for (let time = 0; time < 200; time += 1) {
      const text = newKekText();
      assert.match(text, /^[A-Za-z0-9_-]{43}$/);
      assert.equal(parseKek(`${text}\n`).toString('base64url'), text);
    }
  });

  it('is refused, without being repeated, when it is not 32 bytes in one spelling', () => {
    const text = newKekText();
    for (const wrong of [
      '',
      text.slice(1),
      `${text}A`,
      `${text}=`,
      `${text.slice(0, -1)}!`,
      'changeme',
      `${text} ${text}`,
    ]) {
      assert.throws(
        () => parseKek(wrong),
        (error) => error instanceof KeyRingError && !(wrong !== '' && error.message.includes(wrong)),
      );
    }
    for (const length of [0, 16, 31, 33, 64]) {
      assert.throws(() => importKeks({ current: randomBytes(length), previous: [] }), KeyRingError);
    }
  });

  it('is refused when it was plainly not drawn at random', () => {
    for (const [name, bytes] of GUESSABLE) {
      assert.throws(() => parseKek(bytes.toString('base64url')), /not drawn at random/, name);
      assert.throws(() => importKeks({ current: bytes, previous: [] }), /not drawn at random/, name);
      assert.throws(() => importKeks({ current: randomBytes(32), previous: [bytes] }), /not drawn/, name);
    }
  });

  it('is named by a fingerprint that differs for each key and holds none of its bytes', () => {
    const bytes = randomBytes(32);
    const { current } = importKeks({ current: bytes, previous: [] });
    assert.match(current.fingerprint, /^[A-Za-z0-9_-]{16}$/);
    assert.ok(!bytes.toString('base64url').includes(current.fingerprint));
    const prints = Array.from({ length: 50 }, () => importKeks({ current: randomBytes(32), previous: [] }));
    assert.equal(new Set(prints.map((keks) => keks.current.fingerprint)).size, 50);
  });
});

describe('the file of the key-encryption key', () => {
  it('is made once, for its owner only, and read from then on', async (t) => {
    const path = join(await folder(t), 'kek');
    const first = await loadOrCreateKek(path);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await loadOrCreateKek(path), first);
    assert.deepEqual(parseKek(await readFile(path, 'utf8')), first);
    assert.deepEqual(await readdir(join(path, '..')), ['kek']);
  });

  it('is the same for everybody when many make it at once', async (t) => {
    for (let time = 0; time < 10; time += 1) {
      const path = join(await folder(t), 'kek');
      const keks = await Promise.all(Array.from({ length: 20 }, () => loadOrCreateKek(path)));
      assert.equal(new Set(keks.map((kek) => kek.toString('hex'))).size, 1);
      assert.deepEqual(await readdir(join(path, '..')), ['kek']);
    }
  });

  it('is refused when others may read it, with the command that puts it right', async (t) => {
    const path = join(await folder(t), 'kek');
    const kek = await loadOrCreateKek(path);
    for (const mode of [0o640, 0o604, 0o620, 0o660, 0o644, 0o666]) {
      await chmod(path, mode);
      await assert.rejects(loadOrCreateKek(path), (error: Error) => {
        assert.ok(error instanceof KeyRingError);
        assert.ok(error.message.includes(`chmod 600 ${path}`));
        return !error.message.includes(kek.toString('base64url'));
      });
    }
  });

  it('is never replaced when it cannot be understood, since it may be the only copy', async (t) => {
    const path = join(await folder(t), 'kek');
    await loadOrCreateKek(path);
    await truncate(path, 20);
    const damaged = await readFile(path);
    await assert.rejects(loadOrCreateKek(path), KeyRingError);
    assert.deepEqual(await readFile(path), damaged);
    await writeFile(path, 'x'.repeat(100_000));
    await assert.rejects(loadOrCreateKek(path), /too large/);
  });

  it('is not made in a folder that does not exist', async (t) => {
    await assert.rejects(loadOrCreateKek(join(await folder(t), 'nowhere', 'kek')), { code: 'ENOENT' });
  });
});

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'mayfly-kek-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}
