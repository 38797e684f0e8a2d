/** Results go to stdout, everything else to stderr, so that what is piped on is the result alone. */
import type { Format } from './operator-commands.ts';
import { plainJson } from './plain-text.ts';
import { type Row, sheet } from './table.ts';

/** Whoever reads the output may stop reading, as `head` does, or have no room for it. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit();
  say(`The output could not be written (${error.code}).`);
  process.exit(1);
});

export function print(text: string): void {
  process.stdout.write(text);
}

export function printOne(thing: Row, output: Format): void {
  if (output === 'table') print(sheet(thing));
  else print(`${plainJson(thing, { indent: output === 'json' ? 2 : 0 })}\n`);
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
