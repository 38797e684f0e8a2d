/**
 * What the owner of the database does, and a broker never: bring its tables up to date, and make a reviewed
 * catalogue the active one.
 */
import { Command } from 'commander';
import { readConfiguration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';
import { operatingUser } from './operating-user.ts';

export function databaseCommand(): Command {
  const database = new Command('database');
  database
    .command('roles')
    .description('print the script that makes the database and its two roles, for psql as a superuser')
    .action(async () => {
      const { rolesScript } = await import('../database/roles.ts');
      process.stdout.write(rolesScript());
    });
  return database;
}

export function migrateCommand(environment: Environment): Command {
  return new Command('migrate').action(async () => {
    const { migrateDatabase } = await import('./own-database.ts');
    await migrateDatabase(readConfiguration(environment, { as: 'owner' }));
  });
}

export function applyCommand(environment: Environment): Command {
  return new Command('apply')
    .description('make the files the active catalogue of the database (MAYFLY_OWNER_DATABASE_URL)')
    .argument(
      '[directory]',
      'folder with zones.yaml, resources/ and agents/; MAYFLY_SCOPES_DIR when left out',
    )
    .option('--as <name>', 'who applies it, for the record', operatingUser())
    .action(async (directory: string | undefined, { as: actor }: { as: string }) => {
      const { applyScopes } = await import('./own-database.ts');
      const configuration = readConfiguration(environment, { as: 'owner' });
      await applyScopes(configuration, { directory: directory ?? configuration.scopesDirectory, actor });
    });
}
