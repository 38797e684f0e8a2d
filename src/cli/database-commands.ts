/**
 * What the owner of the database does, and a broker never: bring its tables up to date, and make a reviewed
 * catalogue the active one.
 */
import { Command } from 'commander';
import { refuseDevelopmentKeysInProduction } from '../broker.ts';
import { loadCatalogue } from '../catalogue/load-catalogue.ts';
import {
  type Configuration,
  ConfigurationError,
  type Environment,
  readConfiguration,
} from '../config/configuration.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { migrate } from '../database/migrate.ts';
import { createPool, openKysely } from '../database/pool.ts';
import { rolesScript } from '../database/roles.ts';
import { createLog } from '../log.ts';
import { CatalogueError } from '../main.ts';
import { applyCatalogue } from '../revocations/apply-catalogue.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import { systemClock } from '../time/clock.ts';
import { operatingUser } from './operating-user.ts';

export function databaseCommands(environment: Environment): {
  migrateCommand: Command;
  applyCommand: Command;
  databaseCommand: Command;
} {
  const databaseCommand = new Command('database').description(
    'what Postgres needs before the first migration',
  );
  databaseCommand
    .command('roles')
    .description('print the script that makes the database and its two roles, for psql as a superuser')
    .action(() => {
      process.stdout.write(rolesScript());
    });

  const migrateCommand = new Command('migrate')
    .description('bring the database up to date (MAYFLY_OWNER_DATABASE_URL)')
    .action(async () => {
      const configuration = readConfiguration(environment, { as: 'owner' });
      const applied = await migrate({ ownerUrl: ownerUrlOf(configuration), log: createLog('warn') });
      print(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`);
    });

  const applyCommand = new Command('apply')
    .description('make the files the active catalogue of the database (MAYFLY_OWNER_DATABASE_URL)')
    .argument(
      '[directory]',
      'folder with zones.yaml, resources/ and agents/; MAYFLY_SCOPES_DIR when left out',
    )
    .option('--as <name>', 'who applies it, for the record', operatingUser())
    .action(async (directory: string | undefined, { as: actor }: { as: string }) => {
      const configuration = readConfiguration(environment, { as: 'owner' });
      await apply(configuration, { directory: directory ?? configuration.scopesDirectory, actor });
    });

  return { migrateCommand, applyCommand, databaseCommand };
}

async function apply(
  configuration: Configuration,
  { directory, actor }: { directory: string; actor: string },
) {
  const { catalogue, problems } = await loadCatalogue(directory);
  if (catalogue === null) {
    throw new CatalogueError(
      `The catalogue in ${directory} has ${problems.length} problem(s); \`mayfly scopes check ${directory}\` shows them.`,
    );
  }
  refuseDevelopmentKeysInProduction(configuration, catalogue);
  const log = createLog('warn');
  const owner = openKysely<unknown>(
    createPool({ url: ownerUrlOf(configuration), size: 1, applicationName: 'mayfly scopes apply', log }),
  );
  try {
    const { version, changed, revocations } = await applyCatalogue({
      owner,
      catalogue,
      actor,
      clock: systemClock,
    });
    print(
      changed
        ? `Version ${version} is active: ${catalogue.digest}`
        : `Version ${version} was active already.`,
    );
    for (const { target, reason } of revocations) print(`Revoked ${ledgerKey(target)}: ${reason}.`);
  } finally {
    await owner.destroy();
  }
}

/** The embedded database's own, when its broker runs. */
function ownerUrlOf({ database, dataDirectory }: Configuration): string {
  if (database.kind === 'external') {
    if (database.ownerUrl !== undefined) return database.ownerUrl;
    throw new ConfigurationError([
      'MAYFLY_OWNER_DATABASE_URL is needed: the database as the role mayfly_owner',
    ]);
  }
  const embedded = attachEmbeddedPostgres({ dataDirectory });
  if (embedded !== null) return embedded.ownerUrl;
  throw new ConfigurationError([
    `neither DATABASE_URL is set nor does a broker with an embedded database run in ${dataDirectory}`,
  ]);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
