/** The work behind the commands of the database's owner. */

import { settleDoubts } from '../audit/doubt-store.ts';
import { loadCatalogue } from '../catalogue/load-catalogue.ts';
import { type Configuration, ConfigurationError, readConfiguration } from '../config/configuration.ts';
import { parseConnectionUrl } from '../config/connection-url.ts';
import type { Environment } from '../config/environment.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { migrate } from '../database/migrate.ts';
import { type OwnerDatabase, openOwner } from '../database/owner.ts';
import { requireFittingCatalogue } from '../fitting-catalogue.ts';
import { createLog } from '../log.ts';
import { CatalogueError } from '../main.ts';
import { applyCatalogue } from '../revocations/apply-catalogue.ts';
import { moveHead } from '../revocations/head-store.ts';
import { ledgerKey } from '../revocations/revocation.ts';
import { systemClock } from '../time/clock.ts';
import { say } from './print.ts';
import { countOf, problemText } from './problem-text.ts';

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
      `The catalogue in ${directory} cannot be applied:\n\n${problemText(problems)}${countOf(problems)}`,
    );
  }
  requireFittingCatalogue(configuration, catalogue);
  await asOwner({ url: ownerUrlOf(configuration), applicationName: 'mayfly scopes apply' }, async (owner) => {
    const application = await applyCatalogue({ owner, catalogue, actor, clock: systemClock });
    const { version, changed, revocations } = application;
    print(
      changed
        ? `Version ${version} is active: ${catalogue.digest}`
        : `Version ${version} was active already.`,
    );
    for (const { target, reason } of revocations) print(`Revoked ${ledgerKey(target)}: ${reason}.`);
  });
}

/** Says that the ledger goes on in this database, and tells from which epoch. */
export async function moveLedgerHead(
  environment: Environment,
  options: { reason: string; above: number; actor: string; databaseUrl: string | undefined },
): Promise<void> {
  const { databaseUrl, ...move } = options;
  if (databaseUrl !== undefined) parseConnectionUrl(databaseUrl);
  const url = databaseUrl ?? ownerUrlOf(readConfiguration(environment, { as: 'owner' }));
  await asOwner({ url, applicationName: 'mayfly ledger move-head' }, async (owner) => {
    const { epoch, generation } = await moveHead({ owner, ...move, clock: systemClock });
    print(`The ledger goes on at epoch ${epoch}, generation ${generation}. Everything before it is revoked.`);
  });
}

/** Says that this is the log, whatever witnesses saw. */
export async function resumeLog(
  environment: Environment,
  { databaseUrl, ...words }: { reason: string; actor: string; databaseUrl: string | undefined },
): Promise<void> {
  if (databaseUrl !== undefined) parseConnectionUrl(databaseUrl);
  const url = databaseUrl ?? ownerUrlOf(readConfiguration(environment, { as: 'owner' }));
  await asOwner({ url, applicationName: 'mayfly audit resume' }, async (owner) => {
    const settled = await settleDoubts({ owner, ...words });
    if (settled === 0) print('No doubt stands: nothing was to be done.');
    else print('The log is signed again. A witness that still sees another one stops it once more.');
  });
}

/** Says when the standby did not confirm what was done: no failure, and worth knowing before a failover. */
export async function asOwner(
  target: { url: string; applicationName: string },
  work: (owner: OwnerDatabase['kysely']) => Promise<void>,
): Promise<void> {
  const owner = openOwner({ ...target, log: createLog('error') });
  try {
    await work(owner.kysely);
    if (!owner.isReplicated()) say('The standby did not confirm it: a failover now could lose it.');
  } finally {
    await owner.close();
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
