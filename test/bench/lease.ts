/**
 * `npm run bench:lease`: what verifiers that renew their leases each second cost one broker. Each has a connection of
 * its own and reads the feed on another; meanwhile something is revoked each second.
 *
 * Judge by the broker's processor time. Latencies hold for this machine, on which verifiers and Postgres run too.
 */
import { existsSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { type ChildProgram, startProgram } from './child-program.ts';
import { readProcessorTime } from './processor-time.ts';
import { type BenchServer, startMayfly } from './servers.ts';
import { openStage, type Stage } from './stage.ts';
import type { FleetOrder, FleetReport } from './verifier-fleet.ts';

const USAGE = 'npm run bench:lease -- [--verifiers <1 to 1000>] [--rounds <1 to 100>] [--seconds <1 to 300>]';
const AUDIENCE = 'https://customers.example.com';
const WARM_UP_MILLISECONDS = 3_000;

type Options = { verifiers: number; rounds: number; seconds: number };
type Measurement = FleetReport & { seconds: number; brokerCores: number; postgresCores: number };

try {
  if (!existsSync('/proc/stat')) throw new Error('processor times are read from /proc: this needs Linux');
  process.stdout.write(await run(readOptions(process.argv.slice(2))));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
process.exit(); // whatever was started has been stopped

async function run(options: Options): Promise<string> {
  await using started = new AsyncDisposableStack();
  const stage = await openStage();
  started.defer(stage.close);
  const broker = await startMayfly(stage);
  started.defer(broker.program.stop);
  const fleet = await startFleet(stage, broker, options);
  started.defer(fleet.stop);
  started.defer(await revokeEachSecond(stage));
  await delay(WARM_UP_MILLISECONDS);
  const measurements: Measurement[] = [];
  for (let round = 1; round <= options.rounds; round += 1) {
    measurements.push(await measure({ stage, broker, fleet, seconds: options.seconds }));
  }
  return report(measurements, options);
}

async function startFleet(stage: Stage, broker: BenchServer, { verifiers }: Options): Promise<ChildProgram> {
  const fleet = startProgram({
    name: 'the verifiers',
    program: new URL('./verifier-fleet.ts', import.meta.url),
  });
  const key = stage.keyOf('customers');
  const { port, issuer } = broker.target;
  await ask(fleet, { kind: 'start', port, issuer, audience: AUDIENCE, key, verifiers });
  return fleet;
}

/** By somebody else than the broker: it finds out as any other broker would. */
async function revokeEachSecond({ databaseUrls }: Stage): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: databaseUrls.mayfly, ssl: false });
  await client.connect();
  const revoke = () =>
    client.query(
      `select append_revocation('rev_' || gen_random_uuid(), 'session', 'ses_' || gen_random_uuid(), false, null,
                                'a benchmark', 'bench', 'aud_' || gen_random_uuid(), null)`,
    );
  let last: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    last = last.then(revoke).then(() => client.query('notify mayfly_ledger'));
  }, 1_000);
  return async () => {
    clearInterval(timer);
    await last;
    await client.end();
  };
}

async function measure(options: {
  stage: Stage;
  broker: BenchServer;
  fleet: ChildProgram;
  seconds: number;
}): Promise<Measurement> {
  const { stage, broker, fleet } = options;
  const pids = { server: broker.program.pid, postmaster: stage.postmasterPid };
  await ask(fleet, { kind: 'watch' });
  const startedAt = performance.now();
  const before = readProcessorTime(pids);
  await Promise.race([delay(options.seconds * 1_000), broker.program.ended, fleet.ended]);
  const after = readProcessorTime(pids);
  const seconds = (performance.now() - startedAt) / 1_000;
  const reported = (await ask(fleet, { kind: 'report' })) as FleetReport;
  return {
    ...reported,
    seconds,
    brokerCores: (after.server - before.server) / seconds,
    postgresCores: (after.postgres - before.postgres) / seconds,
  };
}

async function ask({ child, ended }: ChildProgram, order: FleetOrder): Promise<object> {
  const { promise, resolve } = Promise.withResolvers<object>();
  child.once('message', (reply) => resolve(reply as object));
  child.send(order);
  const reply = await Promise.race([promise, ended]);
  if ('error' in reply) throw new Error(String(reply.error));
  return reply;
}

function report(measurements: readonly Measurement[], { verifiers, rounds, seconds }: Options): string {
  const middle = (read: (measurement: Measurement) => number) =>
    measurements.map(read).toSorted((one, other) => one - other)[Math.floor(measurements.length / 2)] ?? 0;
  const range = (read: (measurement: Measurement) => number) => {
    const values = measurements.map(read);
    return `${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)}`;
  };
  const cores = ({ brokerCores }: Measurement) => brokerCores;
  const cells = [
    verifiers,
    Math.round(middle((each) => each.renewals / each.seconds)),
    `**${middle(cores).toFixed(2)}** (${range(cores)})`,
    middle((each) => each.postgresCores).toFixed(2),
    middle((each) => each.p50Milliseconds).toFixed(1),
    middle((each) => each.p99Milliseconds).toFixed(1),
    measurements.reduce((sum, each) => sum + each.failures, 0),
  ];
  return [
    `Machine: ${cpus()[0]?.model.trim()}, ${cpus().length} cores, Linux ${release()}; Node ${process.versions.node}, Postgres with fsync on.`,
    `${rounds} round(s) of ${seconds} s, medians; in brackets the lowest and the highest round. Verifiers and Postgres share the machine.`,
    '',
    '| verifiers | renewals/s | cores of the broker | of Postgres | p50 ms | p99 ms | failed |',
    '|--:|--:|--:|--:|--:|--:|--:|',
    `| ${cells.join(' | ')} |`,
    '',
  ].join('\n');
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      verifiers: { type: 'string', default: '1000' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '20' },
    },
  });
  const within = (text: string, most: number) => {
    const value = Number(text);
    if (Number.isSafeInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(USAGE);
  };
  return {
    verifiers: within(values.verifiers, 1_000),
    rounds: within(values.rounds, 100),
    seconds: within(values.seconds, 300),
  };
}
