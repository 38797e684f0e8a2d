/** The declared sinks and the log, for a command beside the brokers. Nothing here claims a sink or moves a cursor. */
import { hostname } from 'node:os';
import { openSinkLog } from '../audit-sinks.ts';
import { ConfigurationError, readConfiguration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';
import { requireSinks } from '../declared-sinks.ts';
import { createLog } from '../log.ts';
import { openReceiver } from '../sinks/open-receiver.ts';
import type { Receiver } from '../sinks/receiver.ts';
import { type Replayed, replaySink, testSink } from '../sinks/replay-sink.ts';
import type { SinkDeclaration } from '../sinks/sink-declaration.ts';
import { readSinkLags, type SinkLag } from '../sinks/sink-lags.ts';
import type { DeadLetter } from '../sinks/sink-store.ts';
import { systemClock } from '../time/clock.ts';
import { brokerDatabaseUrl } from './broker-database.ts';
import { fail } from './failure.ts';

export type ListedSink = { declaration: SinkDeclaration; lag: SinkLag; deadLetters: DeadLetter[] };

const MAX_DEAD_LETTERS = 1_000;

/** Whether any file declares sinks. */
export function declaresSinks(environment: Environment): boolean {
  return readConfiguration(environment, { as: 'sinks' }).auditSinks !== undefined;
}

/** Needs the file and nothing else: no database, no broker. */
export async function testDeclaredSink(environment: Environment, name: string) {
  const configuration = readConfiguration(environment, { as: 'sinks' });
  const declaration = declared(requireNamedSinks(configuration, environment), name);
  return await withReceiver(declaration, (receiver) => testSink({ name, receiver, clock: systemClock }));
}

export async function openSinks(environment: Environment) {
  const configuration = readConfiguration(environment, { as: 'sinks' });
  const declarations = requireNamedSinks(configuration, environment);
  await using opening = new AsyncDisposableStack();
  const url = await brokerDatabaseUrl(configuration, opening);
  const { store, size, newReader, close } = openSinkLog({ url, log: createLog('warn') });
  opening.defer(close);
  const reader = newReader();
  const opened = opening.move();

  return {
    async list(): Promise<ListedSink[]> {
      const names = declarations.map(({ name }) => name);
      const lags = await readSinkLags({ names, store, reader, size, clock: systemClock });
      const listed: ListedSink[] = [];
      for (const lag of lags) {
        const letters = await store.deadLetters(lag.name, MAX_DEAD_LETTERS);
        const deadLetters = letters.filter(({ replayedAt }) => replayedAt === null);
        listed.push({ declaration: declared(declarations, lag.name), lag, deadLetters });
      }
      return listed;
    },
    /** @param range leaves, both included */
    async replay(name: string, { from, to }: { from: number; to: number }): Promise<Replayed> {
      const declaration = declared(declarations, name);
      const end = await size();
      if (to >= end)
        fail('usage', `The log has ${end} entries with a signed head: --to is at most ${end - 1}.`);
      return await withReceiver(declaration, (receiver) =>
        replaySink({ name, from, to, receiver, reader, store }),
      );
    },
    close: () => opened.disposeAsync(),
  };
}

export type OpenSinks = Awaited<ReturnType<typeof openSinks>>;

function requireNamedSinks(
  configuration: ReturnType<typeof readConfiguration>,
  environment: Environment,
): SinkDeclaration[] {
  if (configuration.auditSinks !== undefined) return requireSinks(configuration, environment);
  throw new ConfigurationError(['MAYFLY_AUDIT_SINKS is needed: the file that declares the sinks']);
}

function declared(declarations: readonly SinkDeclaration[], name: string): SinkDeclaration {
  const found = declarations.find((declaration) => declaration.name === name);
  const names = declarations.map((declaration) => declaration.name).join(', ') || 'none';
  return found ?? fail('usage', `There is no sink ${name}. Declared are: ${names}.`);
}

async function withReceiver<T>(
  declaration: SinkDeclaration,
  work: (receiver: Receiver) => Promise<T>,
): Promise<T> {
  const receiver = openReceiver(declaration, { clock: systemClock, hostName: hostname(), beside: true });
  try {
    return await work(receiver);
  } finally {
    await receiver.close();
  }
}
