/** A change, from the question to the answer: shown with --dry-run, agreed to by a person, or told with --yes. */
import { agreed } from './consent.ts';
import { fail } from './failure.ts';
import type { Json, ManagementAnswer } from './operator-client.ts';
import type { ChangeOptions, OperatorOptions } from './operator-commands.ts';
import { printOne, say } from './print.ts';
import { sheet } from './table.ts';
import { verdictOf } from './verdict.ts';

export type Order = {
  question: string;
  /** What it would hit. */
  preview: () => Promise<Json>;
  /** What a person might regret; told before the question, or after the fact to whoever wanted no question. */
  warning?: () => Promise<string | null>;
  change: () => Promise<ManagementAnswer>;
};

/** @throws {CommandFailure} */
export async function carryOut(
  { question, preview, warning = async () => null, change }: Order,
  { yes, dryRun, output }: Omit<ChangeOptions, 'reason'> & Pick<OperatorOptions, 'output'>,
): Promise<void> {
  const warn = async () => {
    const text = await warning();
    if (text !== null) say(text);
  };
  if (dryRun) {
    printOne(await preview(), output);
    return warn();
  }
  const look = async () => {
    await warn();
    return sheet(await preview());
  };
  if (!(await agreed({ yes, question, look }))) fail('usage', 'Nothing was changed.');
  const { body } = await change();
  const verdict = verdictOf(body);
  if (verdict !== null) say(verdict);
  printOne(body, output);
  if (yes) await warn();
}
