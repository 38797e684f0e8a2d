/** The broker of the tour: the one that runs, or one that is started for it and stopped afterwards. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Configuration } from '../config/configuration.ts';
import { SampleError } from './development-key.ts';
import { jsonOf } from './exchange-text.ts';

export type TourBroker = {
  tokenEndpoint: string;
  /** True when it was started for the tour. */
  isOwn: boolean;
  stop(): Promise<void>;
};

const START_MILLISECONDS = 120_000;
const LOOK_EVERY_MILLISECONDS = 200;
const ANSWER_MILLISECONDS = 3_000;
const SHOWN_OUTPUT_CHARACTERS = 2_000;

/** @throws {SampleError} when there is none and none can be started */
export async function openTourBroker({ issuer, port }: Configuration): Promise<TourBroker> {
  const running = await metadataOf(issuer);
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
    const tokenEndpoint = await metadataOf(issuer);
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
async function metadataOf(issuer: string): Promise<string | null> {
  const answer = await askMetadata(issuer);
  if (answer === null) return null;
  const { issuer: named, token_endpoint: tokenEndpoint } = jsonOf(await answer.text());
  if (named === issuer && typeof tokenEndpoint === 'string') return tokenEndpoint;
  throw new SampleError(`What answers at ${issuer} is no broker of that name. Choose another MAYFLY_PORT.`);
}

async function askMetadata(issuer: string): Promise<Response | null> {
  try {
    return await fetch(`${issuer}/.well-known/oauth-authorization-server`, {
      signal: AbortSignal.timeout(ANSWER_MILLISECONDS),
    });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ECONNREFUSED') return null;
    const about = /CERT|SELF_SIGNED|ISSUER/.test(code)
      ? ' NODE_EXTRA_CA_CERTS names certificates to trust.'
      : '';
    throw new SampleError(`The broker at ${issuer} cannot be reached (${code}).${about}`);
  }
}

/** fetch says "fetch failed"; what happened is the cause. */
function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return error instanceof Error ? error.name : 'unknown';
}
