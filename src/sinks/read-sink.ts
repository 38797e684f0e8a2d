/** Reads one sink, with the files that it names. */
import { createPrivateKey, createSecretKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  invalidValue,
  isMapping,
  readFields,
  reportAt,
  type Section,
  sectionAt,
} from '../catalogue/fields.ts';
import { quoted, type Report } from '../catalogue/problem.ts';
import type { Environment } from '../config/environment.ts';
import type { HttpTarget } from './http-receiver.ts';
import { OTLP_LOGS_PATH } from './otlp-receiver.ts';
import { mayCall } from './outbound-address.ts';
import type { ClientTls } from './outbound-request.ts';
import { readSmallFile } from './read-small-file.ts';
import type { SinkDeclaration } from './sink-declaration.ts';
import { KIND, noSecret, SECRET_FILE, SHAPES, VARIABLE } from './sink-fields.ts';
import { type Secret, secretOf } from './sink-secret.ts';

const SYSLOG_PORT = 6514;
const SYSLOG_MESSAGE_BYTES = 8_192;
/** Of a webhook's HMAC: as long as what standardwebhooks.com demands at least. */
const MIN_SECRET_BYTES = 24;
const MAX_HEADER_CHARACTERS = 4_096;

type Context = { allowedHosts: ReadonlySet<string>; environment: Environment; report: Report };

/** @returns null when something is wrong, which is then reported */
export function readSink(name: string, section: Section, context: Context): SinkDeclaration | null {
  const at = sectionAt(section, 'kind');
  const kind = KIND.schema.safeParse(at.value);
  if (kind.success) return READERS[kind.data](name, section, context);
  const rule = at.value === undefined ? 'missing-key' : 'invalid-value';
  reportAt(at, context.report, { ...invalidValue('kind', KIND, at.value), rule });
  return null;
}

type Reader = (name: string, section: Section, context: Context) => SinkDeclaration | null;

const READERS: Readonly<Record<SinkDeclaration['kind'], Reader>> = {
  file(name, section, { report }) {
    const { format = 'native', path } = readFields(section, SHAPES.file, report);
    return path === undefined ? null : { name, kind: 'file', format, path };
  },
  syslog(name, section, context) {
    const fields = readFields(section, SHAPES.syslog, context.report);
    const { format = 'native', host, port = SYSLOG_PORT, max_message_bytes = SYSLOG_MESSAGE_BYTES } = fields;
    const tls = readTls(section, fields, context.report);
    if (host === undefined || tls === null) return null;
    const bare = host.replace(/^\[|\]$/g, '');
    const serverName = fields.server_name ?? bare;
    const target = { host: bare, port, serverName, tls, maxMessageBytes: max_message_bytes };
    return { name, kind: 'syslog', format, target };
  },
  webhook(name, section, context) {
    const fields = readFields(section, SHAPES.webhook, context.report);
    const target = readTarget(section, { ...fields, at: 'url' }, context);
    const secret = readSigningSecret(sectionAt(section, 'secret'), context);
    if (target === null || secret === null) return null;
    return { name, kind: 'webhook', format: fields.format ?? 'native', target, secret };
  },
  otlp(name, section, context) {
    const { endpoint, ...fields } = readFields(section, SHAPES.otlp, context.report);
    const target = readTarget(
      section,
      { ...fields, url: endpoint && logsUrl(endpoint), at: 'endpoint' },
      context,
    );
    if (target === null) return null;
    const compress = fields.compression === 'gzip';
    return { name, kind: 'otlp', format: fields.format ?? 'native', target, compress };
  },
};

function logsUrl(endpoint: URL): URL {
  return new URL(`${endpoint.origin}${endpoint.pathname.replace(/\/+$/, '')}${OTLP_LOGS_PATH}`);
}

type TlsPaths = { ca?: string; certificate?: string; private_key?: string };

function readTarget(
  section: Section,
  fields: TlsPaths & { url?: URL | undefined; headers?: Record<string, unknown>; at: 'url' | 'endpoint' },
  context: Context,
): HttpTarget | null {
  const { url, at } = fields;
  const tls = readTls(section, fields, context.report);
  const headers = readHeaders(sectionAt(section, 'headers'), Object.keys(fields.headers ?? {}), context);
  if (url === undefined || tls === null || headers === null) return null;
  const allowPrivate = context.allowedHosts.has(url.hostname);
  if (url.protocol !== 'https:' && !allowPrivate) {
    reportAt(sectionAt(section, at), context.report, {
      rule: 'no-tls',
      message: `expected https, found http to ${quoted(url.hostname)}`,
      fix: 'Use https; or name the host in allowed_hosts, if whoever reads along on the way is welcome to it.',
    });
    return null;
  }
  if (!isPublicOrName(url.hostname, { allowPrivate })) {
    reportAt(sectionAt(section, at), context.report, {
      rule: 'private-address',
      message: `expected a public address, found ${quoted(url.hostname)}`,
      fix: 'Name it in allowed_hosts, if it is a receiver in your own network. Addresses at which clouds give out credentials are never called.',
    });
    return null;
  }
  return { url, allowPrivate, headers, tls };
}

/** What a name stands for is judged when it is called. */
function isPublicOrName(hostname: string, options: { allowPrivate: boolean }): boolean {
  const address = hostname.replace(/^\[|\]$/g, '');
  return isIP(address) === 0 || mayCall(address, options);
}

function readHeaders(
  section: Section,
  names: readonly string[],
  context: Context,
): Record<string, Secret> | null {
  const headers: Record<string, Secret> = {};
  for (const name of names) {
    const at = sectionAt(section, name);
    const text = readSecretText(at, context);
    if (text === null) continue;
    // A header field's value: visible ASCII and single blanks inside (RFC 9110 §5.5).
    if (text.length <= MAX_HEADER_CHARACTERS && /^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(text))
      headers[name] = secretOf(text);
    else reportSecret(at, context.report, 'visible ASCII on one line, and not too long for a header field');
  }
  return Object.keys(headers).length === names.length ? headers : null;
}

/** `whsec_…` is base64, as in the specification of webhooks; anything else is taken as it is. */
function readSigningSecret(section: Section, context: Context): KeyObject | null {
  if (section.value === undefined) return null;
  const text = readSecretText(section, context);
  if (text === null) return null;
  const bytes = text.startsWith('whsec_') ? Buffer.from(text.slice(6), 'base64') : Buffer.from(text);
  if (bytes.length >= MIN_SECRET_BYTES) return createSecretKey(bytes);
  reportSecret(section, context.report, `at least ${MIN_SECRET_BYTES} bytes`);
  return null;
}

/** `{ file: … }` or `{ env: … }`, one of them. What stands there instead may be the secret, so it is not quoted. */
function readSecretText(section: Section, { environment, report }: Context): string | null {
  const written = isMapping(section.value) ? section.value : {};
  if ((written.file === undefined) === (written.env === undefined)) {
    reportSecret(section, report, 'exactly one of file and env');
    return null;
  }
  const { file, env } = readFields(section, { file: SECRET_FILE, env: VARIABLE }, report);
  if (file === undefined && env === undefined) return null;
  const text = (env !== undefined ? environment[env] : readSmallFile(file ?? ''))?.trim();
  if (text) return text;
  reportSecret(
    section,
    report,
    env === undefined ? 'a file with the secret in it' : 'a variable that is set',
  );
  return null;
}

/** Says where and what, never the secret or what was found instead. */
function reportSecret(section: Section, report: Report, expected: string): void {
  reportAt(section, report, noSecret(expected));
}

/** @returns null when a file is missing or is not what it should be */
function readTls(section: Section, paths: TlsPaths, report: Report): ClientTls | null {
  const { ca, certificate, private_key } = paths;
  const authority = readPem(sectionAt(section, 'ca'), ca, isCertificate, report);
  const own = readPem(sectionAt(section, 'certificate'), certificate, isCertificate, report);
  const key = readPem(sectionAt(section, 'private_key'), private_key, isPrivateKey, report);
  if (authority === null || own === null || key === null) return null;
  if (own === undefined && key === undefined) return authority === undefined ? {} : { ca: authority };
  if (own === undefined || key === undefined || !belongTogether(own, key)) {
    reportAt(section, report, {
      rule: 'invalid-certificate',
      message: 'expected a certificate and its private_key, found one without the other',
      fix: 'Name both files, or neither.',
    });
    return null;
  }
  return { ...(authority === undefined ? {} : { ca: authority }), certificate: own, privateKey: key };
}

function readPem(
  section: Section,
  path: string | undefined,
  isRight: (pem: string) => boolean,
  report: Report,
): string | null | undefined {
  if (path === undefined) return undefined;
  const pem = readSmallFile(path);
  if (pem !== null && isRight(pem)) return pem;
  reportAt(section, report, {
    rule: 'invalid-certificate',
    message: `expected a PEM file that can be used, found ${pem === null ? 'none that can be read' : 'something else'}`,
    fix: 'Name a PEM file that the broker may read; a private key without a passphrase.',
  });
  return null;
}

const succeeds = (attempt: () => unknown): boolean => {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
};
const isCertificate = (pem: string) => succeeds(() => new X509Certificate(pem));
const isPrivateKey = (pem: string) => succeeds(() => createPrivateKey(pem));
const belongTogether = (certificate: string, key: string) =>
  new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
