/** A change, from the question to the answer: shown with --dry-run, agreed to by a person, or told with --yes. */
import { agreed } from './consent.ts';
import { fail } from './failure.ts';
import type { Json, ManagementAnswer } from './operator-client.ts';
import type { ChangeOptions, OperatorOptions } from './operator-commands.ts';
import { printOne, say } from './print.ts';
import { sheet } from './table.ts';

export type Order = {
  question: string;
  /** What it would hit. */
  preview: () => Promise<Json>;
  change: () => Promise<ManagementAnswer>;
};

/** @throws {CommandFailure} */
export async function carryOut(
  { question, preview, change }: Order,
  { yes, dryRun, output }: Omit<ChangeOptions, 'reason'> & Pick<OperatorOptions, 'output'>,
): Promise<void> {
  if (dryRun) return printOne(await preview(), output);
  const look = async () => sheet(await preview());
  if (!(await agreed({ yes, question, look }))) fail('usage', 'Nothing was changed.');
  const answer = await change();
  printOne(answer.body, output);
  if (answer.status === 202) say(outstandingIn(answer.body));
}

/** It is in force all the same: who has not said so stops by itself (L21). */
function outstandingIn({ verifiers }: Json): string {
  const all: Json[] = Array.isArray(verifiers) ? verifiers : [];
  const missing = all.filter(({ stops_at }) => stops_at !== undefined).length;
  return (
    `Done, and not yet proved everywhere: of ${all.length} enforcement points ${missing} did not say in time that they ` +
    'have applied it. Each of them stops by itself at the moment named.'
  );
}
