import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openRunFolder } from '../../src/run/run-folder.ts';

const NOBODY = 65_534;
const user = { name: 'nobody', uid: NOBODY, gid: NOBODY, home: '/' };

function place(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'mayfly-place-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('The folder of a run is of nobody else, and gone when it is over', () => {
  const { path, remove } = openRunFolder(undefined);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  remove();
  assert.equal(statSync(path, { throwIfNoEntry: false }), undefined);
});

describe('The folder of a run as another user', {
  skip: process.getuid?.() !== 0 && 'only root has one',
}, () => {
  test('stays that of root: its user goes through, and cannot put anything into it', (t) => {
    const { path, remove } = openRunFolder(user);
    t.after(remove);
    const { uid, gid, mode } = statSync(path);
    assert.deepEqual([uid, gid, mode & 0o7777], [0, NOBODY, 0o710]);
  });

  test('hands over what is in it, and never what a link in it leads to', (t) => {
    const { path, handOver, remove } = openRunFolder(user);
    t.after(remove);
    const [file, own, link] = [join(place(t), 'of-root'), join(path, 'own'), join(path, 'link')];
    for (const each of [file, own]) writeFileSync(each, '');
    symlinkSync(file, link);
    for (const each of [own, link]) handOver(each);
    assert.deepEqual([statSync(own).uid, statSync(file).uid], [NOBODY, 0]);
  });

  test('is not made where that user, or anybody, could put another one in its place', (t) => {
    const own = place(t);
    const theirs = join(own, 'theirs');
    const below = join(theirs, 'below');
    mkdirSync(below, { recursive: true });
    chownSync(theirs, NOBODY, NOBODY);
    const before = process.env.TMPDIR;
    t.after(() => {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
    });
    for (const ground of [theirs, below]) {
      process.env.TMPDIR = ground;
      assert.throws(() => openRunFolder(user), /Others than root can change/);
    }
    chownSync(theirs, 0, 0);
    chmodSync(theirs, 0o777);
    assert.throws(() => openRunFolder(user), /Others than root can change/);
    chmodSync(theirs, 0o1777);
    openRunFolder(user).remove();
  });
});
