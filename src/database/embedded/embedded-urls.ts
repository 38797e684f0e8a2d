/** How the roles reach the embedded database: libpq's way to name a Unix socket in a URL. */
import { APPLICATION_ROLE, DATABASE_NAME, OWNER_ROLE } from '../roles.ts';
import { SUPERUSER } from './cluster.ts';
import { SOCKET_PORT } from './socket-directory.ts';

export type EmbeddedUrls = {
  socketDirectory: string;
  /** For migrations. */
  ownerUrl: string;
  /** For the broker. */
  applicationUrl: string;
  /** For tests and repair. */
  superuserUrl: string;
};

export function embeddedUrls(socketDirectory: string, database: string = DATABASE_NAME): EmbeddedUrls {
  const urlOf = (role: string) =>
    `postgres://${role}@${encodeURIComponent(socketDirectory)}:${SOCKET_PORT}/${database}`;
  return {
    socketDirectory,
    ownerUrl: urlOf(OWNER_ROLE),
    applicationUrl: urlOf(APPLICATION_ROLE),
    superuserUrl: urlOf(SUPERUSER),
  };
}
