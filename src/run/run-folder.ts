/**
 * The folder of one run: its socket, and files that its program reads. As root we write into it what becomes another
 * user's, so it stays ours: whoever owns a folder can put links into it, and what stands there would be theirs then.
 */
import { chmodSync, chownSync, lchownSync, mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { OtherUser } from './other-user.ts';
import { RunError } from './run-error.ts';

export type RunFolder = {
  path: string;
  /** Makes something in it the program's own, when that runs as another user. */
  handOver(path: string): void;
  remove(): void;
};

/** Its group goes through and sees nothing; what is in it has modes of its own. */
const PASSABLE_MODE = 0o710;

/** @throws {RunError} where the other user could put another folder in its place */
export function openRunFolder(user: OtherUser | undefined): RunFolder {
  const ground = realpathSync(tmpdir());
  if (user !== undefined) requireFirmGround(ground);
  const path = mkdtempSync(join(ground, 'mayfly-run-'));
  if (user !== undefined) {
    chownSync(path, 0, user.gid);
    chmodSync(path, PASSABLE_MODE);
  }
  return {
    path,
    handOver(inside) {
      if (user !== undefined) lchownSync(inside, user.uid, user.gid);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

function requireFirmGround(ground: string): void {
  const { uid, mode } = statSync(ground);
  const isFirm = uid === 0 && ((mode & WRITABLE_BY_OTHERS) === 0 || (mode & STICKY) !== 0);
  if (!isFirm)
    throw new RunError(`Others than root can change ${ground}: name another folder in TMPDIR, like /tmp.`);
  if (ground !== dirname(ground)) requireFirmGround(dirname(ground));
}
