/**
 * `--database-url` of the kill switch's commands: around the brokers, when none of them answers, for whoever has the
 * database's credentials. The record says who broke the glass; a broker makes the receipt later.
 */
import type { Environment } from '../config/environment.ts';
import type { BrokenGlass } from '../kill-switch/break-glass.ts';
import type { KillTarget } from '../kill-switch/kill-target.ts';
import type { DatabaseIdentity } from '../revocations/identity-store.ts';
import { agreed } from './consent.ts';
import { fail } from './failure.ts';
import { operatingUser } from './operating-user.ts';
import type { OperatorOptions } from './operator-commands.ts';
import { printOne, say } from './print.ts';
import { outlookOf } from './verdict.ts';
import { requireWords } from './words-for-the-record.ts';

export type GlassOptions = Pick<OperatorOptions, 'as' | 'output'> & {
  /** True when no URL was given with it. */
  databaseUrl: string | true;
  reason: string;
  yes: boolean;
  dryRun: boolean;
  /** Also where the ledger does not go on. */
  anyDatabase: boolean;
};

export async function engageAtDatabase(
  target: KillTarget,
  options: GlassOptions & { waitSeconds: number },
  environment: Environment,
): Promise<void> {
  await askFirst('Engage the kill switch straight at the database?', options);
  await withGlass(environment, options, async (glass, database) => {
    const { reason, waitSeconds } = options;
    const engaged = await glass.engage({ target, reason, waitSeconds });
    if (engaged.effect === 'unknown_target') {
      return fail('usage', 'The target names nothing in the applied catalogue: compare its spelling.');
    }
    say(database.same ? outlookOf(engaged.settled, 'Stopped') : noProof('Engaged'));
    printOne({ effect: engaged.effect, ...engaged.settled, database }, options.output);
  });
}

export async function releaseAtDatabase(
  id: string,
  options: GlassOptions,
  environment: Environment,
): Promise<void> {
  await askFirst(`Release what ${id} stops straight at the database?`, options);
  await withGlass(environment, options, async (glass, database) => {
    const released = await glass.release({ id, reason: options.reason });
    if (!('settled' in released)) {
      if (released.effect === 'unknown') return fail('usage', 'There is no kill of that id.');
      return fail('denied', 'Whoever engaged it cannot release it: somebody else has to.');
    }
    const { effect, settled } = released;
    printOne({ effect, ...settled, database }, options.output);
    if (!database.same) say(noProof('Released'));
  });
}

/** For whoever is tempted to go back to bed. */
function noProof(what: 'Engaged' | 'Released'): string {
  return (
    `${what} in a database in which the ledger does not go on. It proves nothing: brokers and enforcement points that ` +
    'run do not read it. It counts here once `mayfly ledger move-head` was run. Find the database that brokers use, ' +
    'and do it there, too.'
  );
}

async function askFirst(question: string, options: GlassOptions): Promise<void> {
  const { yes, dryRun, reason, as: person = operatingUser() } = options;
  requireWords({ reason, person });
  if (dryRun) fail('usage', 'What it would hit is for a broker to say: --dry-run without --database-url.');
  const look = async () => 'No broker is asked, and none checks who you are. The record will name you.\n';
  if (!(await agreed({ yes, question, look, canShow: false }))) fail('usage', 'Nothing was changed.');
}

async function withGlass(
  environment: Environment,
  { databaseUrl, as: person = operatingUser(), anyDatabase }: GlassOptions,
  work: (glass: BrokenGlass, database: DatabaseIdentity) => Promise<void>,
): Promise<void> {
  const { openGlass } = await import('./open-glass.ts');
  const glass = openGlass(environment, { url: databaseUrl, person, anyDatabase });
  try {
    await work(glass, await glass.database().catch(hintAtAnyDatabase));
  } finally {
    await glass.close();
  }
}

/** Nobody is made to look for the word at three in the morning. */
async function hintAtAnyDatabase(error: unknown): Promise<never> {
  const { ElsewhereError } = await import('../kill-switch/break-glass.ts');
  if (!(error instanceof ElsewhereError)) throw error;
  const hint = 'Nothing was changed. If this is the one that is meant, or there is no other: --any-database.';
  return fail('verification', `${error.message} ${hint}`);
}
