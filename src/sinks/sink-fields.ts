/** What each field of a sink has to be. */
import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { type Field, type Finding, isMapping, READ_ELSEWHERE } from '../catalogue/fields.ts';
import { isPlainHost } from '../config/network.ts';
import { EVENT_FORMATS, type EventFormat } from './event-text.ts';
import { SINK_KINDS, type SinkKind } from './sink-declaration.ts';

const MAX_SINKS = 20;
const MAX_HOSTS = 20;
const MAX_HEADERS = 10;
const MAX_PATH = 4_096;
const MAX_URL = 2_048;

export const SINKS: Field<Record<string, unknown>> = {
  schema: z
    .custom<Record<string, unknown>>(isMapping)
    .refine((value) => Object.keys(value).length <= MAX_SINKS),
  expected: `a mapping of at most ${MAX_SINKS} sinks`,
  fix: 'Declare each sink as "name: { kind: …, … }".',
};

export const HOST_LIST: Field<unknown[]> = {
  schema: z.array(z.unknown()).max(MAX_HOSTS),
  expected: `a list of at most ${MAX_HOSTS} hosts`,
  fix: 'List the hosts that may be spoken to without TLS and at a private address.',
  optional: true,
};

/** As `URL` gives it: lower case, IPv6 in brackets. */
export const HOST: Field<string> = {
  schema: z.string().refine(isPlainHost),
  expected: 'a host in lower case, without a port',
  fix: 'Write it as it stands in the URL, like collector.internal or 127.0.0.1.',
};

export const KIND: Field<SinkKind> = {
  schema: z.enum(SINK_KINDS),
  expected: `one of ${SINK_KINDS.join(', ')}`,
  fix: 'Name the kind of the sink.',
};

export const FORMAT: Field<EventFormat> = {
  schema: z.enum(EVENT_FORMATS),
  expected: `one of ${EVENT_FORMATS.join(', ')}`,
  fix: 'Use native for the entry as it is logged, ocsf for the Open Cybersecurity Schema Framework.',
  optional: true,
};

export const PATH: Field<string> = {
  schema: z.string().max(MAX_PATH).refine(isAbsolute),
  expected: 'an absolute path',
  fix: 'Write the path from / on: where the broker is started from must not matter.',
};

export const PORT: Field<number> = {
  schema: z.int().min(1).max(65_535),
  expected: 'a port from 1 to 65535',
  fix: 'Remove it for 6514, the port of syslog over TLS.',
  optional: true,
};

export const MESSAGE_BYTES: Field<number> = {
  schema: z.int().min(2_048).max(1_048_576),
  expected: 'a number of bytes from 2048 to 1048576',
  fix: 'Say what the receiver takes; remove it for 8192.',
  optional: true,
};

/** Whether the scheme may be http is judged where the host is known to be allowed. */
export const ADDRESS: Field<URL> = {
  schema: z
    .string()
    .max(MAX_URL)
    .refine((text) => /^https?:\/\/[^\s@#\\]+$/.test(text) && URL.canParse(text))
    .transform((text) => new URL(text))
    .refine(({ hostname }) => isPlainHost(hostname)),
  expected: 'an https URL without a user, a password or a fragment',
  fix: 'Write it like https://collector.example.com/mayfly.',
} as Field<URL>;

export const ENDPOINT: Field<URL> = {
  schema: ADDRESS.schema.refine(({ search }) => search === ''),
  expected: 'an https URL without a query, to which /v1/logs is added',
  fix: 'Write it like https://otel.example.com:4318.',
};

export const COMPRESSION: Field<'gzip' | 'none'> = {
  schema: z.enum(['gzip', 'none']),
  expected: 'gzip or none',
  fix: 'Remove it for none.',
  optional: true,
};

/** What mayfly sets itself, and what belongs to the connection, is not for a declaration to change. */
const OWN_HEADERS =
  /^(?:content-.*|host|connection|transfer-encoding|te|trailer|upgrade|expect|user-agent|webhook-.*|keep-alive|proxy-.*)$/;

export const HEADERS: Field<Record<string, unknown>> = {
  schema: z
    .custom<Record<string, unknown>>(isMapping)
    .refine((value) => Object.keys(value).length <= MAX_HEADERS)
    .refine((value) =>
      Object.keys(value).every((name) => /^[a-z0-9-]{1,64}$/.test(name) && !OWN_HEADERS.test(name)),
    ),
  expected: `a mapping of at most ${MAX_HEADERS} header fields in lower case, none that mayfly sets itself`,
  fix: 'Write "authorization: { env: AUDIT_SINK_… }" or "authorization: { file: … }".',
  optional: true,
};

/** Somebody may have written the secret itself where its place belongs: nothing of it is shown. */
export function noSecret(expected: string): Finding {
  return {
    rule: 'no-secret',
    message: `expected ${expected}, found something else`,
    fix: 'Write { file: /path/of/the/secret } or { env: AUDIT_SINK_… } and put the secret there.',
  };
}

function secretField(schema: z.ZodType<string>, expected: string): Field<string> {
  return { schema, expected, fix: '', optional: true, diagnose: () => noSecret(expected) };
}

/** No other variable can be sent anywhere. */
export const VARIABLE = secretField(
  z.string().regex(/^AUDIT_SINK_[A-Z0-9_]{1,64}$/),
  'the name of a variable that begins with AUDIT_SINK_',
);

export const SECRET_FILE = secretField(PATH.schema, PATH.expected);

const optional = <T>(field: Field<T>): Field<T> => ({ ...field, optional: true });

const TLS = { ca: optional(PATH), certificate: optional(PATH), private_key: optional(PATH) };
const HTTP = { kind: KIND, format: FORMAT, headers: HEADERS, ...TLS };

export const SHAPES = {
  file: { kind: KIND, format: FORMAT, path: PATH },
  syslog: {
    kind: KIND,
    format: FORMAT,
    host: HOST,
    port: PORT,
    server_name: optional(HOST),
    max_message_bytes: MESSAGE_BYTES,
    ...TLS,
  },
  webhook: {
    ...HTTP,
    url: ADDRESS,
    secret: {
      ...READ_ELSEWHERE,
      optional: false,
      expected: 'a secret',
      fix: 'Add "secret: { file: … }" or "secret: { env: AUDIT_SINK_… }".',
    },
  },
  otlp: { ...HTTP, endpoint: ENDPOINT, compression: COMPRESSION },
};
