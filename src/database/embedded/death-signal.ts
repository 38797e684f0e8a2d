/** Asks the kernel to signal a program when we die, however we die. Linux only, by the tool `setpriv`. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { PostgresAccount } from './postgres-account.ts';

const run = promisify(execFile);

/** @returns words to put in front of the program, none where the system cannot do it: the next start cleans up */
export async function deathSignalPrefix(
  { environment }: Pick<PostgresAccount, 'environment'>,
  signal: 'INT' | 'KILL',
): Promise<string[]> {
  const words = ['--pdeathsig', signal, '--'];
  try {
    await run('setpriv', [...words, 'true'], { cwd: '/', env: environment });
    return ['setpriv', ...words];
  } catch {
    return [];
  }
}
