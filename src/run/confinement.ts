/**
 * How a program is kept from long-lived keys: in a namespace of its own, or as another user. It is tried out before
 * anything is opened for the program, with the very files that matter, and where it does not hold nothing is started:
 * there is no weaker way that somebody could take for this one.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { relative } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { type KeyFiles, requireOneWay } from './long-lived-keys.ts';
import { requireNoDebugger } from './open-debugger.ts';
import { requireNothingOpen } from './open-descriptors.ts';
import { asOtherUser, findUser, type OtherUser } from './other-user.ts';
import { forbidCoreDumps, inOwnNamespace } from './own-namespace.ts';
import { RunError } from './run-error.ts';
import { systemTool } from './system-tool.ts';
import { canBeTypedInto } from './terminal.ts';

export type Confinement = {
  /** What to start in place of a command. */
  wrap(command: readonly string[]): readonly string[];
  /** Whose program it is, when it is not of our own user. */
  user?: OtherUser;
  /** It must not belong to our terminal. */
  hasOwnSession: boolean;
};

export type ConfinementOptions = {
  keys: KeyFiles;
  /** Run as this user. */
  user?: string | undefined;
  /** The program may read the key: somebody said so. */
  exposeKey?: boolean | undefined;
  /** Which of our standard streams the program gets. */
  inherited: readonly number[];
  environment: Environment;
  report(line: string): void;
};

const WHAT_TO_DO =
  'As root, start it as another user with --user <name>; or, if it may read the key, say --expose-key.';

/** @throws {RunError} when the program could read a key */
export async function confine(options: ConfinementOptions): Promise<Confinement> {
  const { keys, user: name, exposeKey = false, inherited, environment, report } = options;
  if (exposeKey) {
    report('The program can read the long-lived key: --expose-key was given.');
    return { wrap: (command) => command, hasOwnSession: false };
  }
  requireNothingOpen(keys, inherited);
  requireNoDebugger(environment);
  const hasOwnSession = canBeTypedInto();
  if (name !== undefined) {
    const user = findUser(name);
    const wrap = asOtherUser(user);
    await requireHolds(wrap, keys, `The user ${name}`);
    return { wrap, user, hasOwnSession };
  }
  if (process.platform !== 'linux') {
    throw new RunError(`On this system a program cannot be kept from the key of its own user. ${WHAT_TO_DO}`);
  }
  requireOneWay(keys);
  forbidCoreDumps();
  const wrap = inOwnNamespace(keys);
  await requireHolds(wrap, keys, 'The program');
  if (process.getuid?.() === 0) report(AS_ROOT);
  return { wrap, hasOwnSession };
}

const AS_ROOT =
  'The program runs as root, who has other ways to a file, like disks; --user <name> closes them.';

const EXIT_READABLE = 3;
const PROBE_MILLISECONDS = 10_000;

/** Reads what must not be read: each file, those in a folder and one level below, and our own environment. */
const TRY_TO_READ = `
for path; do
  for file in "$path" "$path"/* "$path"/*/*; do
    [ -f "$file" ] && [ "$(wc -c 2>/dev/null <"$file" || echo 0)" -gt 0 ] && exit ${EXIT_READABLE}
  done
done
[ "$(wc -c 2>/dev/null <"/proc/$PPID/environ" || echo 0)" -gt 0 ] && exit ${EXIT_READABLE}
exit 0`;

async function requireHolds(
  wrap: Confinement['wrap'],
  { files, folders }: KeyFiles,
  who: string,
): Promise<void> {
  const shell = systemTool('sh') ?? '/bin/sh';
  const paths = [...files, ...folders];
  // From here some can be reached that nobody gets to from above.
  const near = paths.map((path) => `./${relative('.', path)}`);
  const [program = '', ...args] = wrap([shell, '-c', TRY_TO_READ, 'mayfly-run', ...paths, ...near]);
  const signal = AbortSignal.timeout(PROBE_MILLISECONDS);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: {}, signal });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => {
    said += part;
  });
  const [code] = await once(child, 'close').catch(() => [null]);
  if (code === 0) return;
  const why = code === EXIT_READABLE ? 'it could read one all the same' : firstLine(said);
  throw new RunError(`${who} cannot be kept from long-lived keys here (${why}). ${WHAT_TO_DO}`);
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] || 'no reason was given';
}
