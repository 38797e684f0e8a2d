/**
 * `npm run bench:mint`: what a token costs, beside the least that it could cost and beside a widely used server
 * that does the same job, and what of it the audit log costs: all in the same run on the same machine and the same Postgres.
 *
 * Judge by processor time for one token and by ratios within a round. Tokens per second depend on what else the
 * machine does meanwhile, and here the clients are a part of that.
 */
import { existsSync } from 'node:fs';
import { type BenchOptions, readBenchOptions, USAGE } from './bench-options.ts';
import { type Generator, type Measurement, measure, measureIdle, startGenerator } from './measure.ts';
import { report } from './report.ts';
import {
  type BenchServer,
  type ServerName,
  startFloor,
  startMayfly,
  startPeer,
  startUnrecorded,
} from './servers.ts';
import { openStage, type Stage } from './stage.ts';

type Bench = { stage: Stage; servers: readonly BenchServer[]; generator: Generator };

const STARTERS: Readonly<Record<ServerName, (stage: Stage, profileFolder?: string) => Promise<BenchServer>>> =
  {
    floor: startFloor,
    mayfly: startMayfly,
    unrecorded: startUnrecorded,
    peer: startPeer,
  };

const stopAsked = firstStopSignal();
try {
  if (!existsSync('/proc/stat')) throw new Error('processor times are read from /proc: this needs Linux');
  await run(readBenchOptions(process.argv.slice(2)));
} catch (error) {
  const { message } = error as Error;
  process.stderr.write(stopAsked.signal === undefined ? `${message}\n\n${USAGE}` : '\nstopped\n');
  process.exitCode = stopAsked.signal === undefined ? 1 : 130;
}
process.exit(); // whatever was started has been stopped

async function run(options: BenchOptions): Promise<void> {
  await using started = new AsyncDisposableStack();
  const bench = await start(options, started);
  const idleShare = await measureIdle(options.idleMilliseconds);
  const measurements = await Promise.race([takeRounds(bench, options), stopAsked.promise]);
  const { postgresVersion } = bench.stage;
  process.stdout.write(`\n${report({ measurements, options, postgresVersion, idleShare })}`);
}

async function start(
  { profileFolder, servers: wanted }: BenchOptions,
  started: AsyncDisposableStack,
): Promise<Bench> {
  say('starting Postgres, the servers and their clients');
  const stage = await openStage();
  started.defer(stage.close);
  const servers: BenchServer[] = [];
  for (const name of wanted) {
    const server = await STARTERS[name](stage, profileFolder);
    started.defer(server.program.stop);
    servers.push(server);
  }
  const generator = await startGenerator(stage.clients);
  started.defer(generator.stop);
  return { stage, servers, generator };
}

async function takeRounds(bench: Bench, options: BenchOptions): Promise<Measurement[]> {
  const { servers, generator, stage } = bench;
  const { tokens, rounds, connections, warmUpTokens } = options;
  for (const server of servers) {
    await generator.sign(server, warmUpTokens);
    await generator.send(server, connections[0] ?? 1);
  }
  const measurements: Measurement[] = [];
  for (const count of connections) {
    for (let round = 1; round <= rounds; round += 1) {
      for (const server of servers) {
        measurements.push(
          await measure(server, {
            generator,
            postmasterPid: stage.postmasterPid,
            tokens,
            connections: count,
            round,
          }),
        );
        say(progress(server, measurements.at(-1), rounds));
      }
    }
  }
  return measurements;
}

function progress({ title }: BenchServer, measurement: Measurement | undefined, rounds: number): string {
  if (measurement === undefined) return '';
  const { connections, round, machineMicroseconds, serverMicroseconds, postgresMicroseconds } = measurement;
  const [machine, server, postgres] = [machineMicroseconds, serverMicroseconds, postgresMicroseconds].map(
    Math.round,
  );
  return (
    `${connections} connections, round ${round}/${rounds}, ${title}: ` +
    `${machine} µs/token, server ${server}, Postgres ${postgres}`
  );
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** A stop unwinds everything: the rejection runs through `await using`. */
function firstStopSignal(): { promise: Promise<never>; signal: string | undefined } {
  const { promise, reject } = Promise.withResolvers<never>();
  const asked: { promise: Promise<never>; signal: string | undefined } = { promise, signal: undefined };
  promise.catch(() => {});
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      asked.signal = signal;
      reject(new Error(signal));
    });
  }
  return asked;
}
