/** One command of the table, from its arguments to what is printed. */
import { randomUUID } from 'node:crypto';
import type { Environment } from '../config/environment.ts';
import { asOperator } from './as-operator.ts';
import { carryOut } from './carry-out.ts';
import { filledIn } from './filled-in.ts';
import { pagesOf } from './list-pages.ts';
import type { Json, OperatorClient } from './operator-client.ts';
import type { ChangeOptions, ListOptions, OperatorOptions } from './operator-commands.ts';
import type { ChangeVerb, ListVerb, OperatorVerb, ShowVerb } from './operator-verb.ts';
import { plainJson, plainText } from './plain-text.ts';
import { print, printOne, say } from './print.ts';
import { table } from './table.ts';
import { warningOfWhoIsLeft } from './who-is-left.ts';

type Running<Options> = {
  values: Readonly<Record<string, string>>;
  options: OperatorOptions & Options;
  environment: Environment;
};

/** @throws {CommandFailure} */
export async function runVerb(verb: OperatorVerb, running: Running<object>): Promise<void> {
  const { environment, options } = running;
  await asOperator(environment, options, (client) => {
    if (verb.kind === 'list') return runList(verb, client, options as OperatorOptions & ListOptions);
    if (verb.kind === 'show') return runShow(verb, client, running);
    return runChange(verb, client, running as Running<ChangeOptions>);
  });
}

async function runList(
  verb: ListVerb,
  client: OperatorClient,
  options: OperatorOptions & ListOptions,
): Promise<void> {
  const { output, limit } = options;
  const { may, path, columns } = verb;
  const rows: Json[] = [];
  let isWhole = true;
  const isShown = (row: Json) => options.state !== undefined || !verb.hides?.(row);
  for await (const page of pagesOf(client, { may, path, query: filtersOf(verb, options), limit })) {
    const shown = page.rows.filter(isShown);
    rows.push(...shown);
    isWhole = page.isLast;
    if (output === 'jsonl') print(linesOf(shown));
  }
  if (output === 'table') print(table(columns, rows));
  if (output === 'json') print(`${plainJson(rows, { indent: 2 })}\n`);
  if (!isWhole) say(`There are more than these ${rows.length}; --limit shows more of them.`);
}

/** Of a filter that is implied, `all` is every value. */
function filtersOf({ filters = {}, implied = () => ({}) }: ListVerb, options: ListOptions) {
  const said = Object.keys(filters).map((name) => [name, options[name]]);
  const given = Object.fromEntries(said.filter(([, value]) => typeof value === 'string'));
  const meant: Record<string, string> = { ...implied(given), ...given };
  const isEvery = (name: string, value: string) => value === 'all' && name in implied({});
  return Object.fromEntries(Object.entries(meant).filter(([name, value]) => !isEvery(name, value)));
}

async function runShow(verb: ShowVerb, client: OperatorClient, { values, options }: Running<object>) {
  const { may, path } = verb;
  const about = aboutOf(verb, values);
  const { body } = await client.ask({ may, method: 'GET', path: filledIn(path, values), about });
  printOne(options.output === 'table' ? (verb.inShort?.(body) ?? body) : body, options.output);
}

async function runChange(verb: ChangeVerb, client: OperatorClient, running: Running<ChangeOptions>) {
  const { values, options } = running;
  const { may } = verb;
  const path = filledIn(verb.path, values);
  const { reason } = options;
  const about = aboutOf(verb, values);
  const order = {
    question: verb.asks.replaceAll(/\{(\w+)\}/g, (_, name: string) => plainText(values[name] ?? '')),
    preview: async () =>
      (await client.ask({ may, method: 'POST', path, body: { reason, dry_run: true }, about })).body,
    change: () =>
      client.ask({ may, method: 'POST', path, body: { reason }, idempotencyKey: randomUUID(), about }),
    warning: async () => (verb.stops === true ? warningOfWhoIsLeft(client, String(values.id)) : null),
  };
  await carryOut(order, options);
}

/** `the session ses_1`. */
function aboutOf({ noun }: OperatorVerb, values: Readonly<Record<string, string>>): string {
  return `the ${NOUNS[noun] ?? noun} ${Object.values(values).join(' ')}`;
}

const NOUNS: Readonly<Record<string, string>> = {
  agent: 'agent or operator',
  kill: 'kill',
  receipt: 'entry of the ledger',
  'signing-key': 'key',
};

function linesOf(rows: readonly Json[]): string {
  return rows.map((row) => `${plainJson(row)}\n`).join('');
}
