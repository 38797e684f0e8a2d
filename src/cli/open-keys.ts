import { ConfigurationError, type Environment, readConfiguration } from '../config/configuration.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { createPool } from '../database/pool.ts';
import { embeddedKekPath } from '../database/prepared-database.ts';
import { createLog } from '../log.ts';
import { createKeyOperations, type KeyOperations } from '../signing-keys/key-operations.ts';
import { loadOrCreateKek } from '../signing-keys/load-kek.ts';
import { systemClock } from '../time/clock.ts';
import { operatingUser } from './operating-user.ts';

/** The ring of the configured database, or of the embedded one while its broker runs. */
export async function openKeys(
  environment: Environment,
): Promise<KeyOperations & { close(): Promise<void> }> {
  const { database, dataDirectory, keyEncryptionKeys } = readConfiguration(environment);
  const url =
    database.kind === 'external' ? database.url : attachEmbeddedPostgres({ dataDirectory })?.applicationUrl;
  if (url === undefined) {
    throw new ConfigurationError([
      `neither DATABASE_URL is set nor does a broker with an embedded database run in ${dataDirectory}`,
    ]);
  }
  const pool = createPool({ url, size: 1, applicationName: 'mayfly keys', log: createLog('warn') });
  const kek = keyEncryptionKeys ?? {
    current: await loadOrCreateKek(embeddedKekPath(dataDirectory)),
    previous: [],
  };
  const operations = createKeyOperations({ pool, kek, clock: systemClock, actor: operatingUser() });
  return { ...operations, close: () => pool.end() };
}
