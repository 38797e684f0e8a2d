/** How the embedded Postgres is set up; given on its command line, so that an older cluster gets them, too. */
import { SOCKET_PORT } from './socket-directory.ts';

export type Settings = Readonly<Record<string, string | number>>;

const SETTINGS: Settings = {
  listen_addresses: '',
  port: SOCKET_PORT,
  unix_socket_permissions: '0700',
  cluster_name: 'mayfly',
  max_connections: 60,
  // A year of days, each with its indexes, may be looked at by a few at once.
  max_locks_per_transaction: 512,
  shared_buffers: '128MB',
  // An acknowledged revocation is on disk.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  // One machine, no standby: a short write-ahead log, and recovery in seconds.
  wal_level: 'minimal',
  max_wal_senders: 0,
  max_logical_replication_workers: 0,
  max_wal_size: '256MB',
  // Small statements from a warm cache: neither workers nor compilation pay.
  io_method: 'sync',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
  log_checkpoints: 'off',
  // What callers send stays out of the log: no statements, no key values.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
};

const THROW_AWAY: Settings = { fsync: 'off', full_page_writes: 'off' };

/** @param durable false only for throw-away clusters: a power cut may then destroy it */
export function settingsOf({
  socketDirectory,
  durable,
  changes = {},
}: {
  socketDirectory: string;
  durable: boolean;
  changes?: Settings | undefined;
}): Settings {
  return {
    ...SETTINGS,
    ...(!durable && THROW_AWAY),
    unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
    ...changes,
  };
}
