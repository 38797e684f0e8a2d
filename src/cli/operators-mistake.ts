/**
 * Errors that say all there is to say: what is wrong with what somebody configured, and what to do.
 * Known by name, so that nothing has to be loaded for it.
 */
const NAMES: readonly string[] = [
  'CatalogueError',
  'CommandFailure',
  'ConfigurationError',
  'ConnectionUrlError',
  'DatabaseNotReadyError',
  'DirectoryLockedError',
  'EmbeddedPostgresError',
  'EvidenceError',
  'KeyRingError',
  'ListenError',
  'MigrationError',
  'RunError',
  'SinksError',
  'UnfitDatabaseError',
];

/** Mistakes of whoever started us are told without a stack. */
export function isOperatorsMistake(error: unknown): error is Error {
  return error instanceof Error && NAMES.includes(error.name);
}
