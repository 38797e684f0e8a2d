/** A debugger of Node listens on this machine: whoever speaks with it has whatever the process has. */
import { url } from 'node:inspector';
import type { Environment } from '../config/environment.ts';
import { RunError } from './run-error.ts';

/** Not `--inspect-port`, which opens none. */
const OPENS_ONE = /(?:^|["\s])--inspect(?:-brk|-wait)?(?:[="\s]|$)/;

/**
 * Also one that what started us has by the same variable, and that we came too late for.
 * @throws {RunError}
 */
export function requireNoDebugger({ NODE_OPTIONS = '' }: Environment): void {
  if (url() === undefined && !OPENS_ONE.test(NODE_OPTIONS)) return;
  throw new RunError(
    'A debugger of Node is open here, through which the program could read the key. To debug the program, take ' +
      'NODE_OPTIONS from us and give it back: env -u NODE_OPTIONS mayfly run … -- env NODE_OPTIONS=--inspect …',
  );
}
