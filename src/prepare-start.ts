/** What a broker finds or makes before it starts: its database, its keys of development, and what seals signing keys. */
import { join } from 'node:path';
import type { DevelopmentKeys } from './agents/client.ts';
import { openDevelopmentKeys } from './agents/development-keys.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import type { Configuration } from './config/configuration.ts';
import { createPool, openKysely } from './database/pool.ts';
import {
  embeddedKekPath,
  type PreparedDatabase,
  prepareEmbeddedDatabase,
  prepareExternalDatabase,
} from './database/prepared-database.ts';
import type { Log } from './errors/log.ts';
import { applyCatalogue } from './revocations/apply-catalogue.ts';
import { loadOrCreateKek } from './signing-keys/load-kek.ts';
import type { Clock } from './time/clock.ts';

/** The embedded database is brought up to date and given this catalogue; an external one is only looked at. */
export async function prepareDatabase({
  configuration,
  catalogue,
  log,
  clock,
}: {
  configuration: Configuration;
  catalogue: Catalogue;
  log: Log;
  clock: Clock;
}): Promise<PreparedDatabase> {
  const { database, dataDirectory } = configuration;
  if (database.kind === 'external') return prepareExternalDatabase({ url: database.url, log });
  const prepared = await prepareEmbeddedDatabase({ dataDirectory, log, clock });
  if (prepared.ownerUrl === null) return prepared;
  const owner = openKysely<unknown>(
    createPool({ url: prepared.ownerUrl, size: 1, applicationName: 'mayfly start', log }),
  );
  try {
    await applyCatalogue({ owner, catalogue, actor: 'mayfly start', clock });
    return prepared;
  } catch (error) {
    await prepared.stop();
    throw error;
  } finally {
    await owner.destroy();
  }
}

/** None where agents are real. */
export function developmentKeysOf(
  { database, dataDirectory }: Configuration,
  catalogue: Catalogue,
): DevelopmentKeys {
  if (database.kind === 'external') return new Map();
  return openDevelopmentKeys(catalogue, join(dataDirectory, 'keys'));
}

/** As they were configured; of an embedded database one that lies beside it. */
export async function keyEncryptionKeys(
  configuration: Configuration,
): Promise<{ current: Buffer; previous: Buffer[] }> {
  const { keyEncryptionKeys: given, dataDirectory } = configuration;
  return given ?? { current: await loadOrCreateKek(embeddedKekPath(dataDirectory)), previous: [] };
}
