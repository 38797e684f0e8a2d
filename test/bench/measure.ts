/** One server, one round: sign, look at the processors, send, look again. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchClient } from './bench-client.ts';
import { type ChildProgram, startProgram } from './child-program.ts';
import type { Delivery, Order, Reply } from './load-generator.ts';
import { machineSeconds, readProcessorTime } from './processor-time.ts';
import type { BenchServer, ServerName } from './servers.ts';

export type Measurement = {
  server: ServerName;
  connections: number;
  round: number;
  tokensPerSecond: number;
  p50Milliseconds: number;
  p95Milliseconds: number;
  p99Milliseconds: number;
  /** Processor time for one token: the whole machine without the clients, and of that: */
  machineMicroseconds: number;
  serverMicroseconds: number;
  postgresMicroseconds: number;
};

export type Generator = {
  sign(server: BenchServer, count: number): Promise<void>;
  send(server: BenchServer, connections: number): Promise<Delivery>;
  stop(): Promise<void>;
};

export async function startGenerator(clients: readonly BenchClient[]): Promise<Generator> {
  const program = startProgram({
    name: 'the load generator',
    program: new URL('./load-generator.ts', import.meta.url),
  });
  await ask(program, { kind: 'clients', clients });
  return {
    async sign({ target }, count) {
      await ask(program, { kind: 'sign', target, count });
    },
    async send({ target: { port } }, connections) {
      const { delivery } = await ask(program, { kind: 'send', port, connections });
      if (delivery === undefined) throw new Error('the load generator sent nothing');
      return delivery;
    },
    stop: program.stop,
  };
}

async function ask({ child, ended }: ChildProgram, order: Order): Promise<Reply> {
  const { promise, resolve } = Promise.withResolvers<Reply>();
  child.once('message', (reply) => resolve(reply as Reply));
  child.send(order);
  const reply = await Promise.race([promise, ended]);
  if (reply.error !== undefined) throw new Error(reply.error);
  return reply;
}

export async function measure(
  server: BenchServer,
  { generator, postmasterPid, tokens, connections, round }: MeasureOptions,
): Promise<Measurement> {
  const pids = { server: server.program.pid, postmaster: postmasterPid };
  await generator.sign(server, tokens);
  const before = readProcessorTime(pids);
  const sent = await Promise.race([generator.send(server, connections), server.program.ended]);
  await Promise.race([server.settle(), server.program.ended]);
  const after = readProcessorTime(pids);
  const microseconds = (seconds: number) => (seconds * 1e6) / tokens;
  const { p50Milliseconds, p95Milliseconds, p99Milliseconds } = sent;
  return {
    server: server.name,
    connections,
    round,
    tokensPerSecond: tokens / sent.seconds,
    p50Milliseconds,
    p95Milliseconds,
    p99Milliseconds,
    machineMicroseconds: microseconds(after.machine - before.machine - sent.processorSeconds),
    serverMicroseconds: microseconds(after.server - before.server),
    postgresMicroseconds: microseconds(after.postgres - before.postgres),
  };
}

export type MeasureOptions = {
  generator: Generator;
  postmasterPid: number;
  tokens: number;
  connections: number;
  round: number;
};

/** How much of one processor the machine uses while nobody asks for anything. */
export async function measureIdle(milliseconds: number): Promise<number> {
  const before = machineSeconds();
  const startedAt = performance.now();
  await delay(milliseconds);
  return (machineSeconds() - before) / ((performance.now() - startedAt) / 1_000);
}
