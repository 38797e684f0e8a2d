/**
 * What the environment says, read once and validated whole: a mistake stops the start, and all mistakes are
 * shown together. Nothing else in mayfly looks at the environment.
 */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { resolve } from 'node:path';
import { decodeBase64url } from '../jws/base64url.ts';
import { SETTING_NAMES } from './settings.ts';

export type Configuration = {
  port: number;
  host: string;
  issuer: string;
  metrics: { port: number; host: string };
  samplePort: number;
  dataDirectory: string;
  scopesDirectory: string;
  database: { kind: 'embedded' } | { kind: 'external'; url: string; ownerUrl: string | undefined };
  noncePolicy: 'required' | 'optional';
  /** Absent with the embedded database, which keeps a key of its own. */
  keyEncryptionKeys: { current: Buffer; previous: Buffer[] } | undefined;
  signingKeyRotationSeconds: number;
  tls: { certificate: string; privateKey: string; clientAuthorities: string | undefined } | undefined;
  trustedProxies: string[];
  rates: { perSource: number; perClient: number; failures: number };
  tokenRetentionHours: number;
  drainSeconds: number;
  logLevel: LogLevel;
};

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment of this process; the only place that looks at it. */
export function processEnvironment(): Environment {
  return process.env;
}

export class ConfigurationError extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length} mistake(s):\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}

/** Room for metrics = port + 9 below 65536. */
const MAX_PORT = 65_526;
const KEK_BYTES = 32;
const DAY_SECONDS = 86_400;

/** Who reads it: a broker, or the owner of the database, who needs neither the broker's role nor its keys. */
export type Reader = 'broker' | 'owner';

/** @throws {ConfigurationError} with every mistake */
export function readConfiguration(
  environment: Environment,
  { as = 'broker' }: { as?: Reader } = {},
): Configuration {
  const problems: string[] = [];
  const read = createReader(environment, problems);
  refuseUnknownNames(environment, problems);
  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    problems.push('NODE_TLS_REJECT_UNAUTHORIZED=0 turns off the check of certificates; remove it');
  }
  const port = read.integer('MAYFLY_PORT', 8420, { min: 1, max: MAX_PORT });
  const tls = read.tls();
  const configuration: Configuration = {
    port,
    host: read.text('MAYFLY_HOST') ?? '127.0.0.1',
    issuer: read.issuer(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`),
    metrics: {
      port: read.integer('MAYFLY_METRICS_PORT', port + 9, { min: 1, max: 65_535 }),
      host: read.text('MAYFLY_METRICS_HOST') ?? '127.0.0.1',
    },
    samplePort: read.integer('MAYFLY_SAMPLE_PORT', port + 1, { min: 1, max: 65_535 }),
    dataDirectory: resolve(read.text('MAYFLY_DATA_DIR') ?? '.mayfly'),
    scopesDirectory: resolve(read.text('MAYFLY_SCOPES_DIR') ?? 'scopes'),
    database: read.database(as),
    noncePolicy: read.choice('MAYFLY_DPOP_NONCE', ['required', 'optional'], 'required'),
    keyEncryptionKeys: read.keyEncryptionKeys(),
    signingKeyRotationSeconds: read.integer('MAYFLY_SIGNING_KEY_ROTATION_SECONDS', DAY_SECONDS, {
      min: 3_600,
      max: 90 * DAY_SECONDS,
    }),
    tls,
    trustedProxies: read.networks('MAYFLY_TRUSTED_PROXIES'),
    rates: {
      perSource: read.integer('MAYFLY_RATE_PER_SOURCE', 5_000, { min: 1, max: 1_000_000 }),
      perClient: read.integer('MAYFLY_RATE_PER_CLIENT', 1_000, { min: 1, max: 1_000_000 }),
      failures: read.integer('MAYFLY_RATE_OF_FAILURES', 200, { min: 1, max: 1_000_000 }),
    },
    tokenRetentionHours: read.integer('MAYFLY_TOKEN_RETENTION_HOURS', 168, { min: 2, max: 8_760 }),
    drainSeconds: read.integer('MAYFLY_DRAIN_SECONDS', 10, { min: 0, max: 300 }),
    logLevel: read.choice('MAYFLY_LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  refuseContradictions(configuration, as, problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return configuration;
}

function createReader(environment: Environment, problems: string[]) {
  const text = (name: string): string | undefined => {
    const value = environment[name];
    return value === undefined || value === '' ? undefined : value;
  };

  /** A secret comes from the variable or from the file that `<name>_FILE` names, never from both. */
  const secret = (name: string): string | undefined => {
    const path = text(`${name}_FILE`);
    if (path === undefined) return text(name);
    if (text(name) !== undefined) problems.push(`${name} and ${name}_FILE are both set; keep one`);
    return file(`${name}_FILE`, path)?.trim();
  };

  const file = (name: string, path: string): string | undefined => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      problems.push(
        `${name}: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
      );
      return undefined;
    }
  };

  const integer = (name: string, fallback: number, { min, max }: { min: number; max: number }): number => {
    const value = text(name);
    if (value === undefined) return fallback;
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    problems.push(`${name} has to be a whole number from ${min} to ${max}`);
    return fallback;
  };

  const choice = <T extends string>(name: string, choices: readonly T[], fallback: T): T => {
    const value = text(name);
    if (value === undefined) return fallback;
    if ((choices as readonly string[]).includes(value)) return value as T;
    problems.push(`${name} has to be one of ${choices.join(', ')}`);
    return fallback;
  };

  return {
    text,
    integer,
    choice,

    issuer(fallback: string): string {
      const value = text('MAYFLY_ISSUER') ?? fallback;
      const url = URL.canParse(value) ? new URL(value) : null;
      if (url === null || url.origin !== value || !/^https?:$/.test(url.protocol)) {
        problems.push(
          'MAYFLY_ISSUER has to be an origin such as https://broker.example.com: no path, no trailing slash',
        );
      } else if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
        problems.push('MAYFLY_ISSUER has to be https unless its host is loopback');
      }
      return value;
    },

    database(as: Reader): Configuration['database'] {
      const ownerUrl = secret('MAYFLY_OWNER_DATABASE_URL');
      const url = secret('DATABASE_URL') ?? (as === 'owner' ? ownerUrl : undefined);
      for (const [name, value] of Object.entries({
        DATABASE_URL: url,
        MAYFLY_OWNER_DATABASE_URL: ownerUrl,
      })) {
        if (value !== undefined && !/^postgres(ql)?:\/\//.test(value))
          problems.push(`${name} has to begin with postgres://`);
      }
      return url === undefined ? { kind: 'embedded' } : { kind: 'external', url, ownerUrl };
    },

    keyEncryptionKeys(): Configuration['keyEncryptionKeys'] {
      const current = secret('MAYFLY_KEK');
      const previous = secret('MAYFLY_KEK_PREVIOUS');
      if (current === undefined) {
        if (previous !== undefined) problems.push('MAYFLY_KEK_PREVIOUS is set without MAYFLY_KEK');
        return undefined;
      }
      const decode = (name: string, value: string): Buffer => {
        const bytes = decodeBase64url(value.trim());
        if (bytes?.length === KEK_BYTES && new Set(bytes).size > 8) return bytes;
        problems.push(
          `${name} has to be ${KEK_BYTES} random bytes as base64url; \`mayfly keys new-kek\` makes some`,
        );
        return Buffer.alloc(KEK_BYTES);
      };
      return {
        current: decode('MAYFLY_KEK', current),
        previous: previous?.split(',').map((value) => decode('MAYFLY_KEK_PREVIOUS', value)) ?? [],
      };
    },

    tls(): Configuration['tls'] {
      const certificate = text('MAYFLY_TLS_CERT');
      const privateKey = text('MAYFLY_TLS_KEY');
      const clientAuthorities = text('MAYFLY_TLS_CLIENT_CA');
      if (certificate === undefined || privateKey === undefined) {
        if (certificate ?? privateKey ?? clientAuthorities) {
          problems.push('MAYFLY_TLS_CERT and MAYFLY_TLS_KEY belong together, MAYFLY_TLS_CLIENT_CA to both');
        }
        return undefined;
      }
      return {
        certificate: file('MAYFLY_TLS_CERT', certificate) ?? '',
        privateKey: file('MAYFLY_TLS_KEY', privateKey) ?? '',
        clientAuthorities:
          clientAuthorities === undefined
            ? undefined
            : (file('MAYFLY_TLS_CLIENT_CA', clientAuthorities) ?? ''),
      };
    },

    networks(name: string): string[] {
      const networks =
        text(name)
          ?.split(',')
          .map((network) => network.trim()) ?? [];
      for (const network of networks) {
        if (!isNetwork(network))
          problems.push(`${name} has to list addresses or CIDR ranges; one of them is neither`);
      }
      return networks;
    },
  };
}

function refuseUnknownNames(environment: Environment, problems: string[]): void {
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('MAYFLY_') || SETTING_NAMES.has(name)) continue;
    problems.push(`${name} is not a setting of mayfly; \`mayfly start --help\` lists them`);
  }
}

function refuseContradictions(configuration: Configuration, as: Reader, problems: string[]): void {
  const { database, keyEncryptionKeys, tls, issuer, port, metrics } = configuration;
  if (database.kind === 'external' && keyEncryptionKeys === undefined && as === 'broker') {
    problems.push(
      'DATABASE_URL needs MAYFLY_KEK or MAYFLY_KEK_FILE: what seals the signing keys in that database',
    );
  }
  if (tls !== undefined && issuer.startsWith('http:'))
    problems.push('with TLS, MAYFLY_ISSUER has to be https');
  if (port === metrics.port) problems.push('MAYFLY_PORT and MAYFLY_METRICS_PORT have to differ');
}

export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  if (prefix === undefined) return true;
  if (!/^\d{1,3}$/.test(prefix)) return false;
  try {
    new BlockList().addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6');
    return true;
  } catch {
    return false;
  }
}
