/** The work behind the commands of the database's owner. */

import { loadCatalogue } from '../catalogue/load-catalogue.ts';
import { type Configuration, ConfigurationError, readConfiguration } from '../config/configuration.ts';
import { parseConnectionUrl } from '../config/connection-url.ts';
import type { Environment } from '../config/environment.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { migrate } from '../database/migrate.ts';
import { createPool, openKysely } from '../database/pool.ts';
import { requireFittingCatalogue } from '../fitting-catalogue.ts';
import { createLog } from '../log.ts';
import { CatalogueError } from '../main.ts';
import { applyCatalogue } from '../revocations/apply-catalogue.ts';
import { moveHead } from '../revocations/head-store.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import { systemClock } from '../time/clock.ts';

export async function migrateDatabase(configuration: Configuration): Promise<void> {
  const applied = await migrate({ ownerUrl: ownerUrlOf(configuration), log: createLog('warn') });
  print(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`);
}

/** Makes the files of a folder the active catalogue, and tells what was revoked with it. */
export async function applyScopes(
  configuration: Configuration,
  { directory, actor }: { directory: string; actor: string },
) {
  const { catalogue, problems } = await loadCatalogue(directory);
  if (catalogue === null) {
    throw new CatalogueError(
      `The catalogue in ${directory} has ${problems.length} problem(s); \`mayfly scopes check ${directory}\` shows them.`,
    );
  }
  requireFittingCatalogue(configuration, catalogue);
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

/** Says that the ledger goes on in this database, and tells from which epoch. */
export async function moveLedgerHead(
  environment: Environment,
  options: { reason: string; above: number; actor: string; databaseUrl: string | undefined },
): Promise<void> {
  const { databaseUrl, ...move } = options;
  if (databaseUrl !== undefined) parseConnectionUrl(databaseUrl);
  const url = databaseUrl ?? ownerUrlOf(readConfiguration(environment, { as: 'owner' }));
  const log = createLog('warn');
  const owner = openKysely<unknown>(
    createPool({ url, size: 1, applicationName: 'mayfly ledger move-head', log }),
  );
  try {
    const { epoch, generation } = await moveHead({ owner, ...move, clock: systemClock });
    print(`The ledger goes on at epoch ${epoch}, generation ${generation}. Everything before it is revoked.`);
  } finally {
    await owner.destroy();
  }
}

/** The embedded database's own, when its broker runs. */
export function ownerUrlOf({ database, dataDirectory }: Configuration): string {
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
