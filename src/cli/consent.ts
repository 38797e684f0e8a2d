/**
 * A person's yes before something is taken away. At a terminal the person is shown what it would hit, and asked;
 * where nobody can be asked, a script has to have said `--yes`.
 */
import { createInterface } from 'node:readline/promises';
import { fail } from './failure.ts';

export type Terminal = {
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  output: NodeJS.WritableStream & { isTTY?: boolean };
};

type Asking = {
  yes: boolean;
  question: string;
  /** What it would hit, for the person to read. */
  look: () => Promise<string>;
  /** False where there is no `--dry-run` that says more. */
  canShow?: boolean;
  terminal?: Terminal;
};

/** Questions stand on stderr: stdout is for results. @throws {CommandFailure} where nobody can be asked */
export async function agreed({
  yes,
  question,
  look,
  canShow = true,
  terminal = { input: process.stdin, output: process.stderr },
}: Asking): Promise<boolean> {
  if (yes) return true;
  const { input, output } = terminal;
  if (!input.isTTY || !output.isTTY) {
    const instead = canShow ? 'say --yes, or --dry-run to see what it would hit.' : 'say --yes.';
    fail('usage', `${question} There is no terminal to ask at: ${instead}`);
  }
  output.write(`${await look()}\n`);
  const lines = createInterface({ input, output, terminal: false }); // the terminal's own line editing is enough
  try {
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    return /^y(es)?$/i.test((await Promise.race([lines.question(`${question} [y/N] `), ended])).trim());
  } finally {
    lines.close();
  }
}
