/** `mayfly audit resume`: what the owner of the database says once he has looked at what a witness saw. */
import { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import { fail } from './failure.ts';
import { operatingUser } from './operating-user.ts';

type ResumeOptions = { reason: string; as: string; databaseUrl?: string; yes: boolean };

export function auditResumeCommand(environment: Environment): Command {
  return new Command('resume')
    .description('as the owner, after a witness saw another log: this one is the log, and is signed again')
    .requiredOption('--reason <words>', 'why, for the record')
    .option('--database-url <url>', 'the database as mayfly_owner; MAYFLY_OWNER_DATABASE_URL when left out')
    .option('--as <name>', 'who does it, for the record', operatingUser())
    .option('--yes', 'do it', false)
    .action(async ({ reason, as: actor, databaseUrl, yes }: ResumeOptions) => {
      if (!yes) fail('usage', 'What a witness saw is evidence against this log. Say --yes to sign it again.');
      const { requireWords } = await import('./words-for-the-record.ts');
      requireWords({ reason, person: actor });
      const { resumeLog } = await import('./own-database.ts');
      await resumeLog(environment, { reason, actor, databaseUrl });
    });
}
