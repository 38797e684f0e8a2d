/**
 * What the environment says, read once and validated whole: a mistake stops the start, and all mistakes are
 * shown together. Nothing else in mayfly looks at the environment.
 */
import { resolve } from 'node:path';
import { decodeBase64url } from '../jws/base64url.ts';
import { ConnectionUrlError, parseConnectionUrl } from './connection-url.ts';
import type { Environment } from './environment.ts';
import { isBindable, isEverybody, isLoopback, isNetwork, isPlainHost } from './network.ts';
import { type ClientSetting, NO_CLIENT, readAgent, readOperator } from './read-client.ts';
import { readTls, type TlsFiles } from './read-tls.ts';
import { readWitnesses, type WitnessSetting } from './read-witnesses.ts';
import { createSettingReader, type SettingReader } from './setting-reader.ts';
import { RUN_VARIABLES, SETTING_NAMES } from './settings.ts';

export type Configuration = {
  port: number;
  host: string;
  issuer: string;
  metrics: { port: number; host: string };
  samplePort: number;
  dataDirectory: string;
  scopesDirectory: string;
  /** Who gives commands to a broker, and that operator's private JWK; a broker has no use for either. */
  operator: ClientSetting;
  /** Who asks a broker for tokens from the command line. */
  agent: ClientSetting;
  database: { kind: 'embedded' } | { kind: 'external'; url: string; ownerUrl: string | undefined };
  noncePolicy: 'required' | 'optional';
  /** Absent with the embedded database, which keeps a key of its own. */
  keyEncryptionKeys: { current: Buffer; previous: Buffer[] } | undefined;
  signingKeyRotationSeconds: number;
  tls: TlsFiles | undefined;
  trustedProxies: string[];
  rates: { perSource: number; perClient: number; failures: number };
  tokenRetentionHours: number;
  auditRetentionDays: number;
  /** The file that declares the sinks of the audit log. */
  auditSinks: string | undefined;
  witnesses: WitnessSetting[];
  /** Instead of the endpoint of each region. */
  stsEndpoint: string | undefined;
  iamEndpoint: string | undefined;
  drainSeconds: number;
  /** 0: the kill switch is not tested on a schedule. */
  drillSeconds: number;
  missedDrillStopsHigh: boolean;
  logLevel: LogLevel;
};

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

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

/**
 * Who reads it: a broker; the owner of the database, who needs neither the broker's role nor its keys; an operator
 * or an agent, who need nothing but to find the broker; whoever looks after sinks, who needs the broker's role and none
 * of its keys.
 */
export type Reader = 'broker' | 'owner' | 'operator' | 'agent' | 'sinks';

/** @throws {ConfigurationError} with every mistake */
export function readConfiguration(
  environment: Environment,
  { as = 'broker' }: { as?: Reader } = {},
): Configuration {
  const problems: string[] = [];
  const read = createSettingReader(environment, problems);
  refuseUnknownNames(environment, problems);
  if (environment.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    problems.push('NODE_TLS_REJECT_UNAUTHORIZED=0 turns off the check of certificates; remove it');
  }
  const port = read.integer('MAYFLY_PORT', 8420, { min: 1, max: MAX_PORT });
  const tls = readTls(read);
  const configuration: Configuration = {
    port,
    host: readHost(read, 'MAYFLY_HOST'),
    issuer: readIssuer(read, `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`),
    metrics: {
      port: read.integer('MAYFLY_METRICS_PORT', port + 9, { min: 1, max: 65_535 }),
      host: readHost(read, 'MAYFLY_METRICS_HOST'),
    },
    samplePort: read.integer('MAYFLY_SAMPLE_PORT', port + 1, { min: 1, max: 65_535 }),
    dataDirectory: resolve(read.text('MAYFLY_DATA_DIR') ?? '.mayfly'),
    scopesDirectory: resolve(read.text('MAYFLY_SCOPES_DIR') ?? 'scopes'),
    operator: as === 'operator' ? readOperator(read) : NO_CLIENT,
    agent: as === 'agent' ? readAgent(read) : NO_CLIENT,
    database: readDatabase(read, as),
    noncePolicy: read.choice('MAYFLY_DPOP_NONCE', ['required', 'optional'], 'required'),
    keyEncryptionKeys: readKeyEncryptionKeys(read),
    signingKeyRotationSeconds: read.integer('MAYFLY_SIGNING_KEY_ROTATION_SECONDS', DAY_SECONDS, {
      min: 3_600,
      max: 90 * DAY_SECONDS,
    }),
    tls,
    trustedProxies: readNetworks(read, 'MAYFLY_TRUSTED_PROXIES'),
    rates: {
      perSource: read.integer('MAYFLY_RATE_PER_SOURCE', 5_000, { min: 1, max: 1_000_000 }),
      perClient: read.integer('MAYFLY_RATE_PER_CLIENT', 1_000, { min: 1, max: 1_000_000 }),
      failures: read.integer('MAYFLY_RATE_OF_FAILURES', 200, { min: 1, max: 1_000_000 }),
    },
    tokenRetentionHours: read.integer('MAYFLY_TOKEN_RETENTION_HOURS', 168, { min: 2, max: 8_760 }),
    auditRetentionDays: read.integer('MAYFLY_AUDIT_RETENTION_DAYS', 400, { min: 30, max: 3_650 }),
    auditSinks: readPath(read, 'MAYFLY_AUDIT_SINKS'),
    witnesses: readWitnesses(read),
    stsEndpoint: readOrigin(
      read,
      'MAYFLY_AWS_STS_ENDPOINT',
      'https://vpce-1.sts.eu-central-1.vpce.amazonaws.com',
    ),
    iamEndpoint: readOrigin(
      read,
      'MAYFLY_AWS_IAM_ENDPOINT',
      'https://vpce-1.iam.us-east-1.vpce.amazonaws.com',
    ),
    drainSeconds: read.integer('MAYFLY_DRAIN_SECONDS', 10, { min: 0, max: 300 }),
    drillSeconds: read.integer('MAYFLY_DRILL_SECONDS', 60, { min: 0, max: DAY_SECONDS }),
    missedDrillStopsHigh:
      read.choice('MAYFLY_MISSED_DRILL_STOPS_HIGH', ['true', 'false'], 'false') === 'true',
    logLevel: read.choice('MAYFLY_LOG_LEVEL', LOG_LEVELS, 'info'),
  };
  refuseContradictions(configuration, as, problems);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return configuration;
}

function readHost(read: SettingReader, name: string): string {
  const host = read.text(name) ?? '127.0.0.1';
  if (!isBindable(host)) read.refuse(`${name} has to be an address of this machine, such as 127.0.0.1 or ::`);
  return host;
}

function readPath(read: SettingReader, name: string): string | undefined {
  const path = read.text(name);
  return path === undefined ? undefined : resolve(path);
}

function readIssuer(read: SettingReader, fallback: string): string {
  const value = read.text('MAYFLY_ISSUER') ?? fallback;
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || url.origin !== value || !/^https?:$/.test(url.protocol)) {
    read.refuse(
      'MAYFLY_ISSUER has to be an origin such as https://broker.example.com: no path, no trailing slash',
    );
  } else if (!isPlainHost(url.hostname)) {
    read.refuse(
      'MAYFLY_ISSUER has to name a host in letters, digits, "-" and ".", as proofs name it: no "_", no dot at the end',
    );
  } else if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    read.refuse('MAYFLY_ISSUER has to be https unless its host is loopback');
  }
  return value;
}

function readOrigin(read: SettingReader, name: string, example: string): string | undefined {
  const value = read.text(name);
  if (value === undefined) return undefined;
  const url = URL.canParse(value) ? new URL(value) : null;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (url?.origin !== value || !isSafe) {
    read.refuse(`${name} has to be an origin such as ${example}; https unless loopback`);
  }
  return value;
}

function readDatabase(read: SettingReader, as: Reader): Configuration['database'] {
  const ownerUrl = readDatabaseUrl(read, 'MAYFLY_OWNER_DATABASE_URL');
  const url = readDatabaseUrl(read, 'DATABASE_URL') ?? (as === 'owner' ? ownerUrl : undefined);
  return url === undefined ? { kind: 'embedded' } : { kind: 'external', url, ownerUrl };
}

function readDatabaseUrl(read: SettingReader, name: string): string | undefined {
  const url = read.secret(name);
  try {
    if (url !== undefined) parseConnectionUrl(url);
  } catch (error) {
    if (!(error instanceof ConnectionUrlError)) throw error;
    for (const problem of error.problems) read.refuse(`${name}: ${problem}`);
  }
  return url;
}

function readKeyEncryptionKeys(read: SettingReader): Configuration['keyEncryptionKeys'] {
  const current = read.secret('MAYFLY_KEK');
  const previous = read.secret('MAYFLY_KEK_PREVIOUS');
  if (current === undefined) {
    if (previous !== undefined) read.refuse('MAYFLY_KEK_PREVIOUS is set without MAYFLY_KEK');
    return undefined;
  }
  const decode = (name: string, value: string): Buffer => {
    const bytes = decodeBase64url(value.trim());
    if (bytes?.length === KEK_BYTES) return bytes;
    read.refuse(
      `${name} has to be ${KEK_BYTES} random bytes as base64url; \`mayfly keys new-kek\` makes some`,
    );
    return Buffer.alloc(KEK_BYTES);
  };
  return {
    current: decode('MAYFLY_KEK', current),
    previous: previous?.split(',').map((value) => decode('MAYFLY_KEK_PREVIOUS', value)) ?? [],
  };
}

function readNetworks(read: SettingReader, name: string): string[] {
  const networks =
    read
      .text(name)
      ?.split(',')
      .map((network) => network.trim()) ?? [];
  if (!networks.every(isNetwork)) {
    read.refuse(`${name} has to list addresses or CIDR ranges; one of them is neither`);
  }
  if (networks.some(isEverybody)) {
    read.refuse(`${name} has a range of everybody (/0): anybody could then write where a request came from`);
  }
  return networks;
}

function refuseUnknownNames(environment: Environment, problems: string[]): void {
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('MAYFLY_') || SETTING_NAMES.has(name) || RUN_VARIABLES.includes(name)) continue;
    problems.push(`${name} is not a setting of mayfly; \`mayfly start --help\` lists them`);
  }
}

function refuseContradictions(configuration: Configuration, as: Reader, problems: string[]): void {
  const { database, keyEncryptionKeys, tls, issuer, port, metrics, samplePort } = configuration;
  if (database.kind === 'external' && keyEncryptionKeys === undefined && as === 'broker') {
    problems.push(
      'DATABASE_URL needs MAYFLY_KEK or MAYFLY_KEK_FILE: what seals the signing keys in that database',
    );
  }
  if (tls !== undefined && issuer.startsWith('http:'))
    problems.push('with TLS, MAYFLY_ISSUER has to be https');
  if (configuration.missedDrillStopsHigh && configuration.drillSeconds === 0) {
    problems.push('MAYFLY_MISSED_DRILL_STOPS_HIGH needs drills: MAYFLY_DRILL_SECONDS is 0');
  }
  if (port === metrics.port) problems.push('MAYFLY_PORT and MAYFLY_METRICS_PORT have to differ');
  // Only beside an embedded database does anything use the sample server's port.
  if (database.kind === 'embedded' && (samplePort === port || samplePort === metrics.port)) {
    problems.push('MAYFLY_SAMPLE_PORT has to differ from MAYFLY_PORT and MAYFLY_METRICS_PORT');
  }
}
