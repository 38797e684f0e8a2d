import { readConfiguration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';
import { createPool } from '../database/pool.ts';
import { embeddedKekPath } from '../database/prepared-database.ts';
import { createLog } from '../log.ts';
import { createKeyOperations, type KeyOperations } from '../signing-keys/key-operations.ts';
import { loadOrCreateKek } from '../signing-keys/load-kek.ts';
import { systemClock } from '../time/clock.ts';
import { brokerDatabaseUrl } from './broker-database.ts';
import { operatingUser } from './operating-user.ts';

/**
 * The ring of the configured database. An embedded one is started for the command when no broker runs it: a broker
 * that cannot open its keys does not start, and that is when somebody needs these commands.
 */
export async function openKeys(
  environment: Environment,
): Promise<KeyOperations & { close(): Promise<void> }> {
  const configuration = readConfiguration(environment);
  await using opening = new AsyncDisposableStack();
  const url = await brokerDatabaseUrl(configuration, opening);
  const pool = createPool({ url, size: 1, applicationName: 'mayfly keys', log: createLog('warn') });
  opening.defer(() => pool.end());
  const kek = configuration.keyEncryptionKeys ?? {
    current: await loadOrCreateKek(embeddedKekPath(configuration.dataDirectory)),
    previous: [],
  };
  const operations = createKeyOperations({ pool, kek, clock: systemClock, actor: operatingUser() });
  const opened = opening.move();
  return { ...operations, close: () => opened.disposeAsync() };
}
