import { mkdirSync } from 'node:fs';
import type { Configuration } from '../config/configuration.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { prepareEmbeddedDatabase } from '../database/prepared-database.ts';
import { createLog } from '../log.ts';
import { systemClock } from '../time/clock.ts';

/**
 * The database as the broker has it. An embedded one is started for the command when no broker runs it: a broker that
 * does not start may be the reason for the command.
 * @param opening what is to be stopped afterwards
 */
export async function brokerDatabaseUrl(
  { database, dataDirectory }: Pick<Configuration, 'database' | 'dataDirectory'>,
  opening: AsyncDisposableStack,
): Promise<string> {
  if (database.kind === 'external') return database.url;
  const running = attachEmbeddedPostgres({ dataDirectory });
  if (running !== null) return running.applicationUrl;
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  const prepared = await prepareEmbeddedDatabase({
    dataDirectory,
    log: createLog('warn'),
    clock: systemClock,
  });
  opening.defer(prepared.stop);
  return prepared.applicationUrl;
}
