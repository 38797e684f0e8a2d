/** The second implementation, independent_log.py, as a program of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('independent_log.py', import.meta.url));
export const hasPython = spawnSync('python3', ['-c', 'import hashlib, json, base64']).status === 0;

export type Verdict = {
  ok: boolean;
  index?: number | null;
  entries?: number;
  root?: string;
  root_recomputed?: boolean;
  signatures_verified?: boolean;
};

/** @param lines of a pack, with their line feeds */
export function python(lines: readonly string[]): Verdict {
  const { status, stdout, stderr } = spawnSync('python3', [PROGRAM], {
    input: lines.join(''),
    maxBuffer: 1_048_576,
    encoding: 'utf8',
  });
  assert.ok(status === 0 || status === 1, stderr);
  const verdict = JSON.parse(stdout) as Verdict;
  assert.equal(status, verdict.ok ? 0 : 1);
  return verdict;
}
