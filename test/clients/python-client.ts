import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ClientWorld } from './client-world.ts';

const PROGRAM = fileURLToPath(new URL('protocol_client.py', import.meta.url));

/** Debian's python3-jwcrypto; what else of Python there is on this machine may not have it. */
const PYTHON = ['/usr/bin/python3', 'python3'].find(
  (command) => spawnSync(command, ['-c', 'import jwcrypto']).status === 0,
);

export function describePythonClient(world: () => ClientWorld): void {
  describe('A client in Python that was written from the page on the protocol', () => {
    const skip = PYTHON === undefined && 'there is no python3 with jwcrypto here (Debian: python3-jwcrypto)';
    test('gets tokens, calls, makes one call, is refused with a hint, and ends its session', {
      skip,
    }, async (t) => {
      const { issuer, resource, agentKey } = world();
      const folder = await mkdtemp(join(tmpdir(), 'mayfly-python-'));
      t.after(() => rm(folder, { recursive: true }));
      const keyFile = join(folder, 'key.json');
      await writeFile(keyFile, JSON.stringify(agentKey.jwk));
      const { stdout } = await promisify(execFile)(PYTHON ?? '', [PROGRAM, issuer, keyFile, resource]);
      const [status, hasData, called, refused, ended, after] = JSON.parse(stdout);
      assert.deepEqual(
        [status, hasData, called, ended, after],
        [200, true, [201, 401], true, 'session_ended'],
      );
      assert.match(refused, /^invalid_scope: .*scopes\/agents\/report-writer\.yaml/);
    });
  });
}
