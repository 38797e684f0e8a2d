/**
 * `mayfly audit sink …`: where the audit log is streamed to, from the command line. It reads the file that the brokers
 * read and their database; it moves no cursor, so a broker that sends meanwhile is not disturbed.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Environment } from '../config/environment.ts';
import { fail } from './failure.ts';
import type { ListedSink, OpenSinks } from './open-sinks.ts';
import { plainJson } from './plain-text.ts';
import { print, say } from './print.ts';
import { type Row, table } from './table.ts';

export function auditSinkCommands(environment: Environment): Command {
  const sink = new Command('sink').description('where the audit log is streamed to');
  sink.addCommand(listCommand(environment));
  sink.addCommand(testCommand(environment));
  sink.addCommand(replayCommand(environment));
  return sink;
}

const COLUMNS = ['name', 'kind', 'next_index', 'lag_entries', 'lag_seconds', 'parked', 'holder', 'failure'];

function listCommand(environment: Environment): Command {
  return new Command('list')
    .description('show how far each sink has got, what went wrong, and what was put aside')
    .addOption(
      new Option('-o, --output <format>', 'how to print').choices(['table', 'json']).default('table'),
    )
    .action(async ({ output }: { output: 'table' | 'json' }) => {
      const rows = await rowsOf(environment);
      print(output === 'json' ? `${plainJson(rows, { indent: 2 })}\n` : table(COLUMNS, rows));
    });
}

async function rowsOf(environment: Environment): Promise<Row[]> {
  const { declaresSinks } = await import('./open-sinks.ts');
  if (!declaresSinks(environment)) {
    say('No sinks are declared: MAYFLY_AUDIT_SINKS names the file that declares them.');
    return [];
  }
  const rows: Row[] = [];
  await using(environment, async (sinks) => {
    rows.push(...(await sinks.list()).map(rowOf));
  });
  return rows;
}

function rowOf({ declaration, lag, deadLetters }: ListedSink) {
  const { state, entries, seconds } = lag;
  return {
    name: declaration.name,
    kind: declaration.kind,
    format: declaration.format,
    next_index: state?.nextIndex ?? 0,
    lag_entries: entries,
    lag_seconds: Math.round(seconds),
    parked: state?.parked ?? 0,
    holder: state?.holder ?? null,
    moved_at: state?.movedAt?.toISOString() ?? null,
    failing_since: state?.failingSince?.toISOString() ?? null,
    failure: state?.failure ?? null,
    dead_letters: deadLetters.map(({ first, last, refused, because, parkedAt }) => {
      return { from: first, to: last, refused, because, parked_at: parkedAt.toISOString() };
    }),
  };
}

function testCommand(environment: Environment): Command {
  return new Command('test')
    .description('send one event that says that it is a test; needs no database')
    .argument('<name>', 'of the sink')
    .action(async (name: string) => {
      const { testDeclaredSink } = await import('./open-sinks.ts');
      const { id, delivery } = await testDeclaredSink(environment, name);
      if (delivery.outcome !== 'accepted') fail('server', `${name} did not take ${id}: ${delivery.because}.`);
      if (delivery.rejected !== undefined)
        fail('server', `${name} threw ${id} away: ${delivery.rejected.because}.`);
      print(`${id}\n`);
      say(`${name} took the event ${id}, a sink.tested. Look for it there.`);
    });
}

function replayCommand(environment: Environment): Command {
  return new Command('replay')
    .description('send entries once more, with their ids; settles the dead letters among them')
    .argument('<name>', 'of the sink')
    .option('--from <index>', 'the first leaf', leaf)
    .option('--to <index>', 'the last leaf', leaf)
    .option('--parked', 'all that was put aside and nobody has sent again', false)
    .action((name: string, options: { from?: number; to?: number; parked: boolean }) =>
      using(environment, async (sinks) => {
        for (const range of await rangesOf(sinks, name, options)) await replay(sinks, name, range);
      }),
    );
}

type Range = { from: number; to: number };

async function rangesOf(
  sinks: OpenSinks,
  name: string,
  { from, to, parked }: { from?: number; to?: number; parked: boolean },
): Promise<Range[]> {
  if (parked && from === undefined && to === undefined) {
    const found = (await sinks.list()).find(({ declaration }) => declaration.name === name);
    if (found === undefined) fail('usage', `There is no sink ${name}: mayfly audit sink list`);
    if (found.deadLetters.length === 0) say(`Nothing of ${name} is put aside.`);
    return found.deadLetters.map(({ first, last }) => ({ from: first, to: last }));
  }
  if (!parked && from !== undefined && to !== undefined && from <= to) return [{ from, to }];
  return fail('usage', 'Say --from and --to, two leaves in order, or --parked.');
}

async function replay(sinks: OpenSinks, name: string, { from, to }: Range): Promise<void> {
  const { sent, refused, stopped, settled } = await sinks.replay(name, { from, to });
  for (const { index, id, because } of refused)
    say(`${name} would not take ${id} (leaf ${index}): ${because}.`);
  say(`Sent ${sent} entries of leaves ${from} to ${to} to ${name}. Settled ${settled} dead letters.`);
  if (stopped !== null) fail('server', `It ended at leaf ${stopped.at}: ${stopped.because}.`);
  if (refused.length > 0) fail('server', `${refused.length} entries were refused.`);
}

function leaf(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It has to be the index of a leaf.');
}

async function using(environment: Environment, work: (sinks: OpenSinks) => Promise<void>): Promise<void> {
  const { openSinks } = await import('./open-sinks.ts');
  const sinks = await openSinks(environment);
  try {
    await work(sinks);
  } finally {
    await sinks.close();
  }
}
