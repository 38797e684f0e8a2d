/** Runs the real `mayfly` as a process of its own, as a user would. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));

export type Run = { code: number; stdout: string; stderr: string };

export function mayfly(args: readonly string[], { directory }: { directory?: string } = {}): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [LAUNCHER, ...args], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}
