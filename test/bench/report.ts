/** The measurements as a table that can stand in the README: medians over the rounds, ratios within a round. */
import { cpus, release, type } from 'node:os';
import type { BenchOptions } from './bench-options.ts';
import type { Measurement } from './measure.ts';
import type { ServerName } from './servers.ts';

export type ReportOptions = {
  measurements: readonly Measurement[];
  options: BenchOptions;
  postgresVersion: string;
  /** Of one processor. */
  idleShare: number;
};

const SERVERS: readonly { name: ServerName; title: string }[] = [
  { name: 'floor', title: 'bare floor' },
  { name: 'mayfly', title: '**mayfly**' },
  { name: 'unrecorded', title: 'mayfly without its log' },
  { name: 'peer', title: 'oidc-provider' },
];

const UNRECORDED =
  '"Without its log" is the same broker on a database whose trigger throws every line of the record away: no line, no ' +
  'leaf, no signed head. Until the last head is signed, the work of the log counts as that of its tokens.';

type Figure = (measurement: Measurement) => number;

const elsewhere: Figure = ({ machineMicroseconds, serverMicroseconds, postgresMicroseconds }) =>
  machineMicroseconds - serverMicroseconds - postgresMicroseconds;
const machine: Figure = ({ machineMicroseconds }) => machineMicroseconds;
const programs: Figure = ({ serverMicroseconds, postgresMicroseconds }) =>
  serverMicroseconds + postgresMicroseconds;
const rate: Figure = ({ tokensPerSecond }) => tokensPerSecond;

export function report({ measurements, options, postgresVersion, idleShare }: ReportOptions): string {
  const { tokens, rounds, connections, servers } = options;
  const measured = SERVERS.filter(({ name }) => servers.includes(name));
  const processors = cpus();
  return [
    `Machine: ${processors[0]?.model ?? 'unknown processor'}, ${processors.length} cores, ${type()} ${release()}; ` +
      `Node ${process.versions.node}, Postgres ${postgresVersion} (fsync on).`,
    `${rounds} round(s) of ${tokens} tokens for each server in turn, medians; clients on the same machine, their ` +
      `processor time taken out. Before it began, ${(idleShare * 100).toFixed(0)} % of one core was busy with other things.`,
    '',
    '| connections | server | tokens/s | p50 ms | p95 ms | p99 ms | CPU µs/token | of it server | Postgres | elsewhere |',
    '|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...connections.flatMap((count) => measured.map((server) => serverLine(server, count, measurements))),
    '',
    '| connections | compared within a round | whole machine | server + Postgres |',
    '|--:|:--|--:|--:|',
    ...connections.flatMap((count) => ratioLines(count, measurements, servers)),
    '',
    ...disturbance(measurements),
    ...(servers.includes('unrecorded') ? [UNRECORDED] : []),
    `"Elsewhere" is the kernel on nobody's account, and whatever else runs on the machine. In brackets: the lowest and the highest round.`,
    'Repeat it with `npm ci && npm run bench:mint` (Linux).',
    '',
  ].join('\n');
}

/** More than this of the processor time elsewhere is not the kernel alone. */
const QUIET_SHARE = 0.15;

function disturbance(measurements: readonly Measurement[]): string[] {
  const share = median(measurements.map((one) => elsewhere(one) / machine(one)));
  if (share <= QUIET_SHARE) return [];
  return [
    `**The machine was not quiet** (${(share * 100).toFixed(0)} % of its work was elsewhere): ` +
      'compare by "server + Postgres" and do not quote the rates.',
    '',
  ];
}

function serverLine(
  { name, title }: (typeof SERVERS)[number],
  connections: number,
  measurements: readonly Measurement[],
): string {
  const own = measurements.filter((one) => one.server === name && one.connections === connections);
  const typical = (figure: Figure, digits = 0) => median(own.map(figure)).toFixed(digits);
  return tableRow([
    String(connections),
    title,
    typical(rate),
    typical(({ p50Milliseconds }) => p50Milliseconds, 1),
    typical(({ p95Milliseconds }) => p95Milliseconds, 1),
    typical(({ p99Milliseconds }) => p99Milliseconds, 1),
    typical(machine),
    typical(({ serverMicroseconds }) => serverMicroseconds),
    typical(({ postgresMicroseconds }) => postgresMicroseconds),
    typical(elsewhere),
  ]);
}

type Comparison = { title: string; over: ServerName; under: ServerName; by?: 'rate' };

const COMPARISONS: readonly Comparison[] = [
  { title: 'CPU of mayfly ÷ CPU of the floor', over: 'mayfly', under: 'floor' },
  { title: 'CPU of mayfly ÷ CPU of mayfly without its log', over: 'mayfly', under: 'unrecorded' },
  { title: 'CPU of oidc-provider ÷ CPU of mayfly', over: 'peer', under: 'mayfly' },
  { title: 'tokens/s of mayfly ÷ of oidc-provider', over: 'mayfly', under: 'peer', by: 'rate' },
];

function ratioLines(
  connections: number,
  measurements: readonly Measurement[],
  servers: readonly ServerName[],
): string[] {
  const compare = (figure: Figure, over: ServerName, under: ServerName): string => {
    const here = measurements.filter((one) => one.connections === connections);
    const ratios = Map.groupBy(here, ({ round }) => round)
      .values()
      .map((round) => ratioOf(round, figure, over, under))
      .toArray();
    const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
    return `${median(ratios).toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
  };
  return COMPARISONS.filter(({ over, under }) => servers.includes(over) && servers.includes(under)).map(
    ({ title, over, under, by }) =>
      by === 'rate'
        ? tableRow([String(connections), title, compare(rate, over, under), ''])
        : tableRow([
            String(connections),
            title,
            compare(machine, over, under),
            compare(programs, over, under),
          ]),
  );
}

function ratioOf(round: readonly Measurement[], figure: Figure, over: ServerName, under: ServerName): number {
  const of = (name: ServerName) => {
    const measurement = round.find(({ server }) => server === name);
    return measurement === undefined ? Number.NaN : figure(measurement);
  };
  return of(over) / of(under);
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
