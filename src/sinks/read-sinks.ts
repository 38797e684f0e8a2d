/**
 * Reads the file that declares where the audit log is streamed to. Like scopes/, it is read whole, every mistake is
 * reported at its place, and a file with a mistake declares nothing. No secret stands in it: it names a file or a
 * variable, and only a variable that was made for this (`AUDIT_SINK_…`), so that no header can be made to carry the
 * broker's own secrets to somebody else.
 *
 *   allowed_hosts: [collector.internal]   # may be spoken to without TLS and at a private address
 *   sinks:
 *     archive: { kind: file, path: /var/log/mayfly/audit.jsonl }
 *     siem: { kind: syslog, format: ocsf, host: siem.example.com, ca: /etc/mayfly/siem.pem }
 *     hook: { kind: webhook, url: https://hooks.example.com/mayfly, secret: { env: AUDIT_SINK_HOOK } }
 *     otel: { kind: otlp, endpoint: https://otel.example.com, headers: { api-key: { file: /run/secrets/otel } } }
 */

import {
  invalidValue,
  isMapping,
  readFields,
  readList,
  reportAt,
  type Section,
  sectionAt,
} from '../catalogue/fields.ts';
import { NAME } from '../catalogue/names.ts';
import { parsePolicyYaml } from '../catalogue/policy-yaml.ts';
import { collectProblems, type Problem, quoted, type Report } from '../catalogue/problem.ts';
import type { Environment } from '../config/environment.ts';
import { readSink } from './read-sink.ts';
import { readSmallFile } from './read-small-file.ts';
import type { SinkDeclaration } from './sink-declaration.ts';
import { HOST, HOST_LIST, SINKS } from './sink-fields.ts';

export type ReadSinks = {
  /** Empty when there is an error among the problems. */
  sinks: SinkDeclaration[];
  /** All of them at once, ordered by line and column. */
  problems: Problem[];
};

/**
 * @param path of the file
 * @param environment where variables of secrets are looked up
 * @param own `host:port` of everything that is the broker itself: its answers leave entries, which would be sent again
 */
export function loadSinks(path: string, environment: Environment, own: readonly string[] = []): ReadSinks {
  const text = readSmallFile(path);
  if (text !== null) return readSinks({ file: path, text, environment, own });
  const problems = collectProblems();
  problems.report({
    file: path,
    line: 1,
    column: 1,
    rule: 'sinks-unreadable',
    message: 'expected a file of at most 64 KiB of UTF-8, found none that can be read',
    fix: 'Name the file that declares the sinks, or remove the setting.',
  });
  return { sinks: [], problems: problems.list() };
}

export function readSinks({
  file,
  text,
  environment,
  own = [],
}: {
  file: string;
  text: string;
  environment: Environment;
  own?: readonly string[];
}): ReadSinks {
  const problems = collectProblems();
  const { report } = problems;
  const source = parsePolicyYaml({ file, text }, report);
  const whole: Section = { source, path: [], value: source.value };
  const fields = readFields(whole, { allowed_hosts: HOST_LIST, sinks: SINKS }, report);
  const allowed = readList(sectionAt(whole, 'allowed_hosts'), HOST, report);
  const allowedHosts = new Set(allowed.map(({ value }) => value));
  const sinks = Object.keys(fields.sinks ?? {})
    .map((name) => readNamed(name, sectionAt(whole, 'sinks', name), { allowedHosts, environment, report }))
    .filter((sink) => sink !== null);
  reportSharedPaths(sinks, whole, report);
  reportOwnAddress(sinks, new Set(own), whole, report);
  if (!problems.hasErrors()) reportUnusedHosts(allowed, sinks, whole, report);
  return { sinks: problems.hasErrors() ? [] : sinks, problems: problems.list() };
}

function readNamed(
  name: string,
  section: Section,
  context: { allowedHosts: ReadonlySet<string>; environment: Environment; report: Report },
): SinkDeclaration | null {
  if (!NAME.schema.safeParse(name).success) {
    reportAt(section, context.report, invalidValue('sink', NAME, name), 'key');
  }
  return isMapping(section.value)
    ? readSink(name, section, context)
    : reportNoMapping(section, context.report);
}

function reportNoMapping(section: Section, report: Report): null {
  readFields(section, {}, report);
  return null;
}

/** Two sinks in one file would cut each other's lines. */
function reportSharedPaths(sinks: readonly SinkDeclaration[], whole: Section, report: Report): void {
  const seen = new Set<string>();
  for (const sink of sinks) {
    if (sink.kind !== 'file') continue;
    if (seen.has(sink.path)) {
      reportAt(sectionAt(whole, 'sinks', sink.name, 'path'), report, {
        rule: 'duplicate-path',
        message: `expected a file of its own for each sink, found ${quoted(sink.path)} a second time`,
        fix: 'Give it another path.',
      });
    }
    seen.add(sink.path);
  }
}

/** What is sent to the broker itself is refused, the refusal is an entry, and that is sent: without end. */
function reportOwnAddress(
  sinks: readonly SinkDeclaration[],
  own: ReadonlySet<string>,
  whole: Section,
  report: Report,
): void {
  for (const sink of sinks) {
    if (sink.kind !== 'webhook' && sink.kind !== 'otlp') continue;
    const { url } = sink.target;
    if (!own.has(hostAndPortOf(url))) continue;
    reportAt(sectionAt(whole, 'sinks', sink.name, sink.kind === 'otlp' ? 'endpoint' : 'url'), report, {
      rule: 'own-address',
      message: `expected somebody else's address, found ${quoted(url.host)}, which is the broker's own`,
      fix: 'Name the receiver that is to have the entries.',
    });
  }
}

/** `host:port`, the port also where the URL leaves it out. */
export function hostAndPortOf({ protocol, hostname, port }: URL): string {
  return `${hostname}:${port || (protocol === 'https:' ? '443' : '80')}`;
}

/** A permission that nobody needs is one that somebody will find a use for. */
function reportUnusedHosts(
  allowed: readonly { value: string; index: number }[],
  sinks: readonly SinkDeclaration[],
  whole: Section,
  report: Report,
): void {
  const used = new Set(
    sinks.flatMap((sink) =>
      sink.kind === 'webhook' || sink.kind === 'otlp' ? [sink.target.url.hostname] : [],
    ),
  );
  for (const { value, index } of allowed.filter(({ value }) => !used.has(value))) {
    reportAt(sectionAt(whole, 'allowed_hosts', index), report, {
      rule: 'unused-host',
      message: `expected the host of a webhook or of OTLP, found ${quoted(value)}, which no sink names`,
      fix: 'Remove it.',
    });
  }
}
