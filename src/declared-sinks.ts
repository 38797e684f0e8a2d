/** The sinks that `MAYFLY_AUDIT_SINKS` declares for this broker. */
import type { Problem } from './catalogue/problem.ts';
import type { Configuration } from './config/configuration.ts';
import type { Environment } from './config/environment.ts';
import { hostAndPortOf, loadSinks } from './sinks/read-sinks.ts';
import type { SinkDeclaration } from './sinks/sink-declaration.ts';

export class SinksError extends Error {
  override readonly name = 'SinksError';
}

type Wanted = Pick<Configuration, 'auditSinks' | 'issuer' | 'host' | 'port'>;

/** @throws {SinksError} with every mistake of the file */
export function requireSinks(configuration: Wanted, environment: Environment): SinkDeclaration[] {
  const { auditSinks } = configuration;
  if (auditSinks === undefined) return [];
  const { sinks, problems } = loadSinks(auditSinks, environment, ownAddresses(configuration));
  if (!problems.some(({ severity }) => severity === 'error')) return sinks;
  throw new SinksError(`MAYFLY_AUDIT_SINKS has mistakes:\n${problems.map(describe).join('\n')}`);
}

const THIS_MACHINE = ['localhost', '127.0.0.1', '[::1]'];

/** Where a request would come to a broker of this issuer, as far as settings say it. */
function ownAddresses({ issuer, host, port }: Wanted): string[] {
  const bound = host.includes(':') ? `[${host}]` : host;
  return [hostAndPortOf(new URL(issuer)), ...[bound, ...THIS_MACHINE].map((name) => `${name}:${port}`)];
}

function describe({ file, line, column, rule, message, fix }: Problem): string {
  return `  - ${file}:${line}:${column} ${message} (${rule})\n    ${fix}`;
}
