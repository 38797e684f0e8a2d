/**
 * Every environment variable that mayfly reads, with what it means: `mayfly start --help`, the README and the
 * check of unknown names all come from this one table.
 */
export type Setting = {
  name: string;
  meaning: string;
  fallback: string;
  /** A secret can also come from the file that `<name>_FILE` names, and is never printed. */
  secret?: boolean;
};

export const SETTINGS: readonly Setting[] = [
  { name: 'MAYFLY_PORT', meaning: 'port of the broker', fallback: '8420' },
  { name: 'MAYFLY_HOST', meaning: 'address that it listens on', fallback: '127.0.0.1' },
  {
    name: 'MAYFLY_ISSUER',
    meaning: 'public origin, the `iss` of every token; https unless loopback',
    fallback: 'http://127.0.0.1:<port>',
  },
  {
    name: 'DATABASE_URL',
    meaning: 'Postgres 18, as the role mayfly_app',
    fallback: 'absent: an embedded Postgres',
    secret: true,
  },
  {
    name: 'MAYFLY_OWNER_DATABASE_URL',
    meaning: 'the same database as the role mayfly_owner, for `migrate` and `scopes apply` only',
    fallback: 'absent',
    secret: true,
  },
  { name: 'MAYFLY_DATA_DIR', meaning: 'embedded database, development keys', fallback: '.mayfly' },
  { name: 'MAYFLY_SCOPES_DIR', meaning: 'the catalogue', fallback: 'scopes' },
  {
    name: 'MAYFLY_OPERATOR',
    meaning: 'for the command line: who gives commands to a broker, as in scopes/operators/',
    fallback: 'the first operator with a key in <data dir>/keys',
  },
  {
    name: 'MAYFLY_OPERATOR_KEY',
    meaning: 'the private JWK of that operator',
    fallback: '<data dir>/keys/<operator>.jwk.json',
    secret: true,
  },
  {
    name: 'MAYFLY_AGENT',
    meaning: 'for the command line: the agent that asks for tokens, as in scopes/agents/',
    fallback: 'report-writer, or else the first agent with a key in <data dir>/keys',
  },
  {
    name: 'MAYFLY_AGENT_KEY',
    meaning: 'the private key of that agent, a JWK or a PKCS#8 PEM',
    fallback: '<data dir>/keys/<agent>.jwk.json',
    secret: true,
  },
  { name: 'MAYFLY_METRICS_PORT', meaning: 'port of /metrics', fallback: '<port> + 9' },
  { name: 'MAYFLY_METRICS_HOST', meaning: 'address of /metrics', fallback: '127.0.0.1' },
  { name: 'MAYFLY_SAMPLE_PORT', meaning: 'port of the sample resource server', fallback: '<port> + 1' },
  { name: 'MAYFLY_DPOP_NONCE', meaning: '`required` or `optional`', fallback: 'required' },
  {
    name: 'MAYFLY_KEK',
    meaning: 'key-encryption key, 32 bytes as base64url; `mayfly keys new-kek` makes one',
    fallback: 'embedded: <data dir>/kek',
    secret: true,
  },
  {
    name: 'MAYFLY_KEK_PREVIOUS',
    meaning: 'the key-encryption keys before it, separated by commas, while they are being replaced',
    fallback: 'absent',
    secret: true,
  },
  {
    name: 'MAYFLY_SIGNING_KEY_ROTATION_SECONDS',
    meaning: 'how long one key signs',
    fallback: '86400',
  },
  { name: 'MAYFLY_TLS_CERT', meaning: 'path of a PEM certificate chain; TLS 1.3 only', fallback: 'absent' },
  { name: 'MAYFLY_TLS_KEY', meaning: 'path of its PEM private key', fallback: 'absent' },
  {
    name: 'MAYFLY_TLS_CLIENT_CA',
    meaning: 'path of the PEM certificates that client certificates must chain to',
    fallback: 'absent: none is asked for',
  },
  {
    name: 'MAYFLY_TRUSTED_PROXIES',
    meaning: 'addresses and CIDR ranges, separated by commas, whose X-Forwarded-For counts',
    fallback: 'none',
  },
  {
    name: 'MAYFLY_RATE_PER_SOURCE',
    meaning: 'requests a second from one address; two seconds’ worth at once',
    fallback: '5000',
  },
  {
    name: 'MAYFLY_RATE_PER_CLIENT',
    meaning: 'tokens a second for one agent; five seconds’ worth at once',
    fallback: '1000',
  },
  {
    name: 'MAYFLY_RATE_OF_FAILURES',
    meaning:
      'failed authentications a second from one address, and for one client; 15 seconds’ worth at once',
    fallback: '200',
  },
  { name: 'MAYFLY_TOKEN_RETENTION_HOURS', meaning: 'how long minted tokens stay on record', fallback: '168' },
  {
    name: 'MAYFLY_AUDIT_RETENTION_DAYS',
    meaning: 'how long lines of the audit log keep their text, 30 days at least; their hashes stay',
    fallback: '400',
  },
  {
    name: 'MAYFLY_AUDIT_SINKS',
    meaning: 'path of the YAML file that says where the audit log is streamed to',
    fallback: 'absent: nowhere',
  },
  {
    name: 'MAYFLY_WITNESSES',
    meaning: 'who cosigns the audit log (C2SP tlog-witness): `<url> <vkey>`, separated by commas',
    fallback: 'none',
  },
  {
    name: 'MAYFLY_AWS_STS_ENDPOINT',
    meaning: 'origin of STS for actions with `aws`, such as that of a VPC endpoint',
    fallback: 'that of the region',
  },
  {
    name: 'MAYFLY_AWS_IAM_ENDPOINT',
    meaning: 'origin of IAM for actions with `deny_when_revoked`, such as that of a VPC endpoint',
    fallback: 'that of the partition',
  },
  { name: 'MAYFLY_DRAIN_SECONDS', meaning: 'how long a stop waits for requests in flight', fallback: '10' },
  {
    name: 'MAYFLY_DRILL_SECONDS',
    meaning: 'between two self-tests of the kill switch; 0: none',
    fallback: '60',
  },
  {
    name: 'MAYFLY_MISSED_DRILL_STOPS_HIGH',
    meaning:
      '`true`: after three self-tests in a row that missed a resource nothing is minted for its actions of sensitivity HIGH',
    fallback: 'false',
  },
  {
    name: 'MAYFLY_LOG_LEVEL',
    meaning: '`fatal`, `error`, `warn`, `info`, `debug` or `silent`',
    fallback: 'info',
  },
];

export const SETTING_NAMES: ReadonlySet<string> = new Set(
  SETTINGS.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name])),
);

/** What `mayfly run` gives to the program that it starts. Nobody sets them, and a command in that program has them. */
export const RUN_VARIABLES: readonly string[] = [
  'MAYFLY_TOKEN_ENDPOINT',
  'MAYFLY_BOOTSTRAP',
  'MAYFLY_TOKEN_SOCKET',
];
