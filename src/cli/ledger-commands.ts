/** `mayfly ledger …`: what the owner of the database does about the revocation ledger itself. */
import { Command, InvalidArgumentError } from 'commander';
import type { Environment } from '../config/environment.ts';
import { operatingUser } from './operating-user.ts';

type MoveOptions = { reason: string; above: number; as: string; databaseUrl?: string; yes: boolean };

type RecoverOptions = { as: string; databaseUrl?: string; issuer?: string; dryRun: boolean };

const EXIT_USAGE = 1;

export function ledgerCommands(environment: Environment): Command {
  return new Command('ledger')
    .addCommand(moveHeadCommand(environment))
    .addCommand(recoverCommand(environment));
}

function moveHeadCommand(environment: Environment): Command {
  return new Command('move-head')
    .description(
      'after a restore or a failover: the ledger goes on in this database, and all before is revoked',
    )
    .requiredOption('--reason <words>', 'why, for the record')
    .option('--database-url <url>', 'the database as mayfly_owner; MAYFLY_OWNER_DATABASE_URL when left out')
    .option('--above <epoch>', 'an epoch that is known to have existed, e.g. from a receipt', epoch, 0)
    .option('--as <name>', 'who does it, for the record', operatingUser())
    .option('--yes', 'do it', false)
    .action(async ({ reason, above, as: actor, databaseUrl, yes }: MoveOptions, command: Command) => {
      if (!yes) {
        command.error('Every session and every token so far ends. Say --yes to move the head.', {
          exitCode: EXIT_USAGE,
        });
      }
      const { requireWords } = await import('./words-for-the-record.ts');
      requireWords({ reason, person: actor });
      const { moveLedgerHead } = await import('./own-database.ts');
      await moveLedgerHead(environment, { reason, above, actor, databaseUrl });
    });
}

function recoverCommand(environment: Environment): Command {
  return new Command('recover')
    .description('after move-head: revoke again what was lost and verifiers still hold, signed')
    .argument(
      '<file>',
      'what `verifier.evidence()` gave, one JWS on a line, of as many verifiers as there are',
    )
    .option('--database-url <url>', 'the database as mayfly_owner; MAYFLY_OWNER_DATABASE_URL when left out')
    .option('--issuer <url>', 'whose messages count; MAYFLY_ISSUER when left out')
    .option('--as <name>', 'who does it, for the record', operatingUser())
    .option('--dry-run', 'only tell what would be revoked again', false)
    .action(async (file: string, { as: actor, databaseUrl, issuer, dryRun }: RecoverOptions) => {
      const { recoverLedger } = await import('./recover-ledger.ts');
      await recoverLedger(file, { actor, databaseUrl, issuer, dryRun }, environment);
    });
}

function epoch(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('An epoch is a whole number.');
}
