/** `mayfly run` as people start it, in a process of its own, beside a real broker and the sample resource server. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createOperatorClient } from '../../src/cli/operator-client.ts';
import { silentLog } from '../../src/errors/log.ts';
import { readDevelopmentKey } from '../../src/sample/development-key.ts';
import { startResourceServer } from '../../src/sample/resource-server.ts';
import { systemClock } from '../../src/time/clock.ts';
import { cleanEnvironment, until } from '../broker-process.ts';
import { createPlace, startDevelopmentBroker } from '../sample/development-broker.ts';

const LAUNCHER = fileURLToPath(new URL('../../src/launch.js', import.meta.url));
const PROGRAMS = fileURLToPath(new URL('programs/', import.meta.url));

export const AGENT = 'report-writer';
export const READ = 'db:read:customers';

/** That of the system, where there is one: every user may run it. */
export const PYTHON = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

export const program = (name: string) => join(PROGRAMS, name);
/** A program in Node, as words of a command line. */
export const nodeProgram = (source: string) => [process.execPath, '--input-type=module', '-e', source];

export type Ended = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string };

export type RunOptions = {
  /** Those of mayfly; `--action` is there if they name none. */
  options?: readonly string[];
  settings?: Readonly<Record<string, string>>;
  directory?: string;
  input?: string;
  /** What starts mayfly in place of us. */
  under?: readonly string[];
  ownGroup?: boolean;
};

export type Running = {
  child: ChildProcess;
  stdout(): string;
  stderr(): string;
  ended: Promise<Ended>;
  /** Resolves with the output once it contains this. */
  says(words: string): Promise<string>;
};

/** @property died of which signal, by its number */
export type OnTerminal = { code: number | null; died: number | null; said: string };

export type RunWorld = Awaited<ReturnType<typeof startRunWorld>>;

/** @param settings of the broker */
export async function startRunWorld(settings: Readonly<Record<string, string>> = {}) {
  const place = await createPlace();
  Object.assign(place.settings, settings);
  const broker = await startDevelopmentBroker(place);
  const { configuration } = place;
  const { issuer, dataDirectory } = configuration;
  const server = await startResourceServer({ configuration, log: silentLog, clock: systemClock });
  await server.brokerFound;
  const name = 'olivia';
  const operator = createOperatorClient({ issuer, name, key: readDevelopmentKey(name, configuration) });

  function start(command: readonly string[], options: RunOptions = {}): Running {
    const {
      options: given = [],
      settings = {},
      directory,
      input = '',
      under = [],
      ownGroup = false,
    } = options;
    const action = given.includes('--action') ? [] : ['--action', READ];
    const line = [...under, process.execPath, LAUNCHER, 'run', ...action, ...given, '--', ...command];
    const [first = '', ...rest] = line;
    const env = cleanEnvironment({ ...place.settings, ...settings });
    const child = spawn(first, rest, { cwd: directory, env, detached: ownGroup, stdio: 'pipe' });
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (part: string) => {
        said[stream] += part;
      });
    }
    child.stdin.on('error', () => undefined).end(input);
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, ...said }));
    return {
      child,
      stdout: () => said.stdout,
      stderr: () => said.stderr,
      ended,
      async says(words) {
        let isOver = false;
        ended.then(() => {
          isOver = true;
        });
        await until(() => isOver || said.stdout.includes(words), words, 60_000);
        assert.ok(said.stdout.includes(words), `${words}: ${said.stdout} ${said.stderr}`);
        return said.stdout;
      },
    };
  }

  /** Where Ctrl-C is pressed as soon as the program says "ready". */
  async function onTerminal(command: readonly string[]): Promise<OnTerminal> {
    const { stdout, stderr } = await start(command, { under: [PYTHON, program('press_ctrl_c.py')] }).ended;
    return JSON.parse(stdout || JSON.stringify({ code: null, died: null, said: stderr }));
  }

  return {
    place,
    onTerminal,
    broker: broker.child,
    issuer,
    dataDirectory,
    keyPath: join(dataDirectory, 'keys', `${AGENT}.jwk.json`),
    resource: server.url,
    customersUrl: `${server.url}/customers`,
    start,
    /** From its start to its end. */
    run: (command: readonly string[], options?: RunOptions) => start(command, options).ended,
    /** As the broker has it. */
    async stateOf(sessionId: string): Promise<unknown> {
      const path = `/v1/sessions/${sessionId}`;
      const { body } = await operator.ask({ may: 'mayfly:read:sessions', method: 'GET', path });
      return body.state;
    },
    /** As an operator does it. */
    async revokeSession(sessionId: string): Promise<void> {
      await operator.ask({
        may: 'mayfly:revoke:sessions',
        method: 'POST',
        path: `/v1/sessions/${sessionId}/revoke`,
        body: { reason: 'a test' },
        idempotencyKey: `revoke-${sessionId}`,
      });
    },
    /** Of the agent: how many there ever were, and how many go on. */
    async sessions(): Promise<{ all: number; open: number }> {
      const { body } = await operator.ask({
        may: 'mayfly:read:sessions',
        method: 'GET',
        path: '/v1/sessions',
        query: { agent: AGENT, limit: '200' },
      });
      const states = (body.data as { state: string }[]).map(({ state }) => state);
      return { all: states.length, open: states.filter((state) => state === 'open').length };
    },
    async stop() {
      await operator.close();
      await server.stop();
      await broker.stop();
      await place.remove();
    },
  };
}
