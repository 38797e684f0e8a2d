import { ConfigurationError, readConfiguration } from '../config/configuration.ts';
import { parseConnectionUrl } from '../config/connection-url.ts';
import type { Environment } from '../config/environment.ts';
import { attachEmbeddedPostgres } from '../database/embedded-postgres.ts';
import { type BrokenGlass, breakGlass } from '../kill-switch/break-glass.ts';
import { createLog } from '../log.ts';
import { systemClock } from '../time/clock.ts';
import { LONGEST_LEASE_SECONDS } from '../verifiers/lease-lengths.ts';

/** @param options.url true or absent for what the environment says, or the embedded database that runs */
export function openGlass(
  environment: Environment,
  { url, person, anyDatabase }: { url: string | true | undefined; person: string; anyDatabase: boolean },
): BrokenGlass {
  return breakGlass({
    url: typeof url === 'string' ? checked(url) : configuredUrl(environment),
    person,
    anyDatabase,
    longestLeaseSeconds: LONGEST_LEASE_SECONDS,
    log: createLog('error'),
    clock: systemClock,
  });
}

/** @throws {ConnectionUrlError} */
function checked(url: string): string {
  parseConnectionUrl(url);
  return url;
}

function configuredUrl(environment: Environment): string {
  const { database, dataDirectory } = readConfiguration(environment, { as: 'owner' });
  if (database.kind === 'external') return database.url;
  const running = attachEmbeddedPostgres({ dataDirectory });
  if (running !== null) return running.applicationUrl;
  throw new ConfigurationError([
    `neither --database-url nor DATABASE_URL is set, and no embedded database runs in ${dataDirectory}`,
  ]);
}
