/**
 * What a database error means for the caller, by SQLSTATE (PostgreSQL manual, appendix A) where Postgres spoke,
 * and by the driver's error where it did not. Whatever fits none of these is a defect of ours.
 */
import { isAbortedTransactionError } from 'kysely';

/** The database answers, but may not be used: a replica, or one that does not write commits down. */
export class UnfitDatabaseError extends Error {
  override readonly name = 'UnfitDatabaseError';
}

/** COMMIT came back with the tag ROLLBACK: an error inside was swallowed and nothing was stored. */
export class RolledBackError extends Error {
  override readonly name = 'RolledBackError';
  constructor() {
    super('COMMIT was answered by ROLLBACK: a statement of the transaction failed and nobody noticed');
  }
}

const UNAVAILABLE_STATES = new Set([
  '25006', // read-only: a former primary
  '25P03', // idle in transaction for too long
  '25P04', // transaction timeout
  '3D000', // no such database (being restored)
  '55P03', // lock timeout
  '57014', // statement timeout, cancelled
  '57P01', // shut down by an administrator
  '57P02', // crash
  '57P03', // starting up or shutting down
  '57P05', // idle session timeout
]);
const UNAVAILABLE_CLASSES = [
  '08', // connection
  '28', // our credentials are not accepted (being rotated)
  '53', // out of connections, memory, disk
  '58', // input and output of the server's system
];

/** Errors of the socket and of name lookup. */
const UNAVAILABLE_CODES = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

/** The driver gives these no code. */
const UNAVAILABLE_MESSAGES = [
  'timeout exceeded when trying to connect', // no connection became free in time
  'timeout expired',
  'Connection terminated',
  'Query read timeout',
  'Cannot use a pool after calling end on the pool',
  'is not queryable',
  'The server does not support SSL connections',
  'There was an error establishing an SSL connection',
];

const CERTIFICATE_CODE = /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/;
const CALLERS_FAULT_CLASSES = ['22', '54'];
const RETRYABLE_STATES = new Set(['40001', '40P01']);
const DEEPEST_CAUSE = 5;

/** Postgres cannot decide now: 503 with Retry-After, and nothing may be taken as stored or not stored. */
export function databaseUnavailable(error: unknown): boolean {
  return chainOf(error).some((link) => {
    if (link instanceof UnfitDatabaseError || link instanceof RolledBackError) return true;
    if (isAbortedTransactionError(link)) return true; // kysely's word for the same
    const state = sqlState(link);
    if (lacksPartition(link, state)) return true;
    if (state !== null) return UNAVAILABLE_STATES.has(state) || isOfClass(state, UNAVAILABLE_CLASSES);
    return isConnectionError(link);
  });
}

/** 23514 that names a table and no constraint: it has no partition for the row; upkeep is behind, or a clock is off. */
function lacksPartition(error: unknown, state: string | null): boolean {
  if (state !== '23514') return false;
  const { table, constraint } = error as { table?: string; constraint?: string };
  return table !== undefined && constraint === undefined;
}

/** A value that Postgres cannot take (class 22: data; class 54: too much of it): the caller's, 400. */
export function isCallersFault(error: unknown): boolean {
  const state = sqlState(error);
  return state !== null && isOfClass(state, CALLERS_FAULT_CLASSES);
}

/** Nothing happened, and the same statement may well succeed at once: a deadlock or a serialization failure. */
export function isRetryable(error: unknown): boolean {
  const state = sqlState(error);
  return state !== null && RETRYABLE_STATES.has(state);
}

/** After such an error the connection itself is in doubt and must not go back to the pool. */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  if (state === null) return isConnectionError(error);
  return isOfClass(state, ['08', '57P', '25P']) || state === '25006';
}

/** The five characters of SQLSTATE when Postgres itself reported the error, otherwise null. */
export function sqlState(error: unknown): string | null {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return null;
  return typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : null;
}

function isConnectionError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code !== undefined && (UNAVAILABLE_CODES.has(code) || CERTIFICATE_CODE.test(code))) return true;
  if (syscall === 'connect') return true; // also ENOENT and EACCES of a Unix socket
  return UNAVAILABLE_MESSAGES.some((part) => error.message.includes(part));
}

function isOfClass(state: string, classes: readonly string[]): boolean {
  return classes.some((start) => state.startsWith(start));
}

/** The error, what caused it, what caused that. */
function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  for (let link = error; link !== undefined && chain.length < DEEPEST_CAUSE; ) {
    chain.push(link);
    link = link instanceof Error ? link.cause : undefined;
  }
  return chain;
}
