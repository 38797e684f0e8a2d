/** The program, from its start to its end. What it reads and writes is ours: nothing stands in between. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RunError } from './run-error.ts';
import { isFromTerminal, type Signals } from './signals.ts';

export type Ending = { code: number } | { signal: NodeJS.Signals };

export type ChildOptions = {
  /** With what confines it. */
  command: readonly string[];
  environment: Readonly<Record<string, string>>;
  /** `ignore` where our standard input was read for something else. */
  standardInput: 'inherit' | 'ignore';
  /** It does not belong to our terminal. */
  hasOwnSession: boolean;
  signals: Signals;
};

/** @throws {RunError} when it cannot be started at all */
export function runChild(options: ChildOptions): Promise<Ending> {
  const { command, environment, standardInput, hasOwnSession, signals } = options;
  const [program = '', ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<Ending>();
  const child: ChildProcess = spawn(program, args, {
    env: environment,
    stdio: [standardInput, 'inherit', 'inherit'],
    detached: hasOwnSession,
  });
  signals.sendTo((signal) => {
    if (!isFromTerminal(signal)) child.kill(signal);
    else if (hasOwnSession) killGroup(child, signal); // in ours it came to the program as well as to us
  });
  child.once('error', (error: NodeJS.ErrnoException) =>
    reject(new RunError(`${program} cannot be started (${error.code}).`)),
  );
  child.once('exit', (code, signal) => resolve(signal === null ? { code: code ?? 0 } : { signal }));
  return promise;
}

/** As a terminal does it. */
function killGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // nobody is left in it
  }
}

const SIGNALLED = 128;
const DEATH_MILLISECONDS = 200;

/**
 * Ends us as the program ended. Whoever started us then sees the same: a shell, for example, stops its script when a
 * program died of Ctrl-C.
 */
export function endAs(ending: Ending): void {
  if ('code' in ending) {
    process.exitCode = ending.code;
    return;
  }
  const { signal } = ending;
  process.exitCode = SIGNALLED + constants.signals[signal];
  // For SIGUSR1 Node opens its debugger, and some it ignores: then the exit code has to do.
  if (signal === 'SIGUSR1') return;
  setTimeout(() => process.exit(), DEATH_MILLISECONDS);
  process.kill(process.pid, signal);
}
