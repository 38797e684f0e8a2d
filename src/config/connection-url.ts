/**
 * `DATABASE_URL`, read strictly. The driver would guess: take settings from PG… variables, accept any certificate
 * for some spellings of `sslmode`, ignore what it does not know. Here everything is said in the URL or refused.
 *
 * Over a network the server's certificate is verified, always: whoever can pose as the database can answer "not
 * revoked". `sslmode` may be
 * - absent: `verify-full` to other machines, none to loopback addresses and Unix sockets;
 * - `verify-full`, or `require`, which many providers put into their URLs and which is made that strict here;
 * - `verify-ca`, with `sslrootcert`: the certificate may name another host;
 * - `disable`: to loopback addresses and Unix sockets; to other machines only together with `plaintext=accepted`,
 *   for a network that nobody else can reach.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';

export type ConnectionTarget = {
  /** A name, an address, or the folder of a Unix socket. */
  host: string;
  port: number;
  user: string;
  /** Absent is absent: no other place is looked at. */
  password: string | undefined;
  database: string;
  ssl: false | ConnectionOptions;
};

export class ConnectionUrlError extends Error {
  override readonly name = 'ConnectionUrlError';
  /** One sentence each. They never repeat the URL, which holds a password. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`The database URL is not acceptable: ${problems.join('; ')}`);
    this.problems = problems;
  }
}

const DEFAULT_PORT = 5432;
const SHAPE = 'it has to look like postgres://user:password@host:5432/database';
const PARAMETERS = new Set([
  'host',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'plaintext',
  'target_session_attrs',
]);

/** @throws {ConnectionUrlError} with every mistake */
export function parseConnectionUrl(text: string): ConnectionTarget {
  const url = readUrl(text);
  if (url === null) throw new ConnectionUrlError([SHAPE]);
  const problems: string[] = [];
  checkParameters(url.searchParams, problems);
  const target = {
    host: url.searchParams.get('host') ?? hostOf(url),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    user: decode(url.username, problems),
    password: url.password === '' ? undefined : decode(url.password, problems),
    database: decode(url.pathname.slice(1), problems),
  };
  if (target.host === '' || target.user === '' || target.database === '') problems.push(SHAPE);
  if (target.host.includes(',')) problems.push('one host only: put a proxy or one name in front of several');
  const ssl = readSsl(url.searchParams, target.host, problems);
  if (problems.length > 0) throw new ConnectionUrlError(problems);
  return { ...target, ssl };
}

/** `postgres://user@/database?host=/folder`, as libpq writes sockets, is no URL to the WHATWG. */
function readUrl(text: string): URL | null {
  const url = URL.parse(text) ?? URL.parse(text.replace('@/', '@socket/'));
  return url !== null && /^postgres(ql)?:$/.test(url.protocol) ? url : null;
}

function hostOf({ hostname }: URL): string {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  return decode(host, []);
}

function decode(text: string, problems: string[]): string {
  try {
    return decodeURIComponent(text);
  } catch {
    problems.push('a "%" in it has to be written as "%25"');
    return '';
  }
}

function checkParameters(parameters: URLSearchParams, problems: string[]): void {
  for (const name of new Set(parameters.keys())) {
    if (!PARAMETERS.has(name)) problems.push(`the parameter "${name}" is not known`);
    else if (parameters.getAll(name).length > 1) problems.push(`the parameter "${name}" is repeated`);
  }
  const wanted = parameters.get('target_session_attrs');
  if (wanted !== null && !['read-write', 'primary'].includes(wanted)) {
    problems.push(
      'target_session_attrs has to be read-write: a replica answers with yesterday’s revocations',
    );
  }
}

function readSsl(parameters: URLSearchParams, host: string, problems: string[]): false | ConnectionOptions {
  const isLocal = host.startsWith('/') || isLoopback(host);
  const mode = parameters.get('sslmode') ?? (isLocal ? 'disable' : 'verify-full');
  if (host.startsWith('/') || mode === 'disable') {
    if (!isLocal && parameters.get('plaintext') !== 'accepted') problems.push(PLAINTEXT);
    return false;
  }
  if (!['verify-full', 'verify-ca', 'require'].includes(mode)) {
    problems.push(
      'sslmode has to be verify-full (or verify-ca with sslrootcert): other modes accept anybody',
    );
  }
  const ca = readFileOf('sslrootcert', parameters, problems);
  if (mode === 'verify-ca' && ca === undefined) {
    problems.push('sslmode=verify-ca needs sslrootcert: any public authority would do otherwise');
  }
  const cert = readFileOf('sslcert', parameters, problems);
  const key = readFileOf('sslkey', parameters, problems);
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(mode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}

const PLAINTEXT =
  'sslmode=disable sends everything in clear to another machine: use verify-full, or add plaintext=accepted ' +
  'when nobody else can reach that network';

function readFileOf(name: string, parameters: URLSearchParams, problems: string[]): string | undefined {
  const path = parameters.get(name);
  if (path === null) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    problems.push(`the file of ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return undefined;
  }
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}
