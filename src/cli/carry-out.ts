/** A change, from the question to the answer: shown with --dry-run, agreed to by a person, or told with --yes. */
import { agreed } from './consent.ts';
import { fail } from './failure.ts';
import type { Json, ManagementAnswer } from './operator-client.ts';
import type { ChangeOptions, OperatorOptions } from './operator-commands.ts';
import { printOne } from './print.ts';
import { sheet } from './table.ts';

export type Order = {
  question: string;
  /** What it would hit. */
  preview: () => Promise<Json>;
  change: () => Promise<ManagementAnswer>;
};

/** @returns null when nothing was to be changed @throws {CommandFailure} */
export async function carryOut(
  { question, preview, change }: Order,
  { yes, dryRun, output }: Omit<ChangeOptions, 'reason'> & Pick<OperatorOptions, 'output'>,
): Promise<ManagementAnswer | null> {
  if (dryRun) {
    printOne(await preview(), output);
    return null;
  }
  const look = async () => sheet(await preview());
  if (!(await agreed({ yes, question, look }))) fail('usage', 'Nothing was changed.');
  const answer = await change();
  printOne(answer.body, output);
  return answer;
}
