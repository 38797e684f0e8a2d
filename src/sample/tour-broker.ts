/** The broker of the tour: the one that runs, or one that is started for it and stopped afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Configuration } from '../config/configuration.ts';
import { AgentError } from '../sdk/agent-error.ts';
import { discoverBroker } from '../sdk/discover-broker.ts';
import { SampleError } from './development-key.ts';

export type TourBroker = {
  tokenEndpoint: string;
  /** True when it was started for the tour. */
  isOwn: boolean;
  stop(): Promise<void>;
};

const START_MILLISECONDS = 120_000;
const LOOK_EVERY_MILLISECONDS = 200;
const SHOWN_OUTPUT_CHARACTERS = 2_000;

/** @throws {SampleError} when there is none and none can be started */
export async function openTourBroker({ issuer, port }: Configuration): Promise<TourBroker> {
  const running = await tokenEndpointOf(issuer);
  if (running !== null) return { tokenEndpoint: running, isOwn: false, stop: async () => undefined };
  if (!issuer.endsWith(`//127.0.0.1:${port}`)) {
    throw new SampleError(`No broker answers at ${issuer}. Start it, or leave MAYFLY_ISSUER out.`);
  }
  const child = spawn(process.execPath, [fileURLToPath(new URL('../launch.js', import.meta.url)), 'start'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  try {
    return { tokenEndpoint: await untilItAnswers(issuer, child), isOwn: true, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilItAnswers(issuer: string, child: ChildProcess): Promise<string> {
  const output = keepLastOutput(child);
  const giveUpAt = performance.now() + START_MILLISECONDS;
  while (child.exitCode === null && child.signalCode === null && performance.now() < giveUpAt) {
    const tokenEndpoint = await tokenEndpointOf(issuer);
    if (tokenEndpoint !== null) return tokenEndpoint;
    await wait(LOOK_EVERY_MILLISECONDS);
  }
  throw new SampleError(`The broker did not start. It said:\n${output()}`);
}

function keepLastOutput(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (part: string) => {
      text = `${text}${part}`.slice(-SHOWN_OUTPUT_CHARACTERS);
    });
  }
  return () => text;
}

/** @returns where tokens are had; null when nobody listens @throws {SampleError} for whatever else answers */
async function tokenEndpointOf(issuer: string): Promise<string | null> {
  try {
    return (await discoverBroker(issuer))?.tokenEndpoint ?? null;
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new SampleError(`${error.message} MAYFLY_PORT chooses another place for a broker of its own.`);
  }
}
