/** What can be asked of the benchmark on its command line. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { ServerName } from './servers.ts';

export type BenchOptions = {
  /** Tokens for each server and round. */
  tokens: number;
  /** Tokens for each server before the first round, not measured. */
  warmUpTokens: number;
  rounds: number;
  /** Connections that are open at once; the rounds are run with each of these numbers. */
  connections: readonly number[];
  /** In this order within each round. */
  servers: readonly ServerName[];
  idleMilliseconds: number;
  /** Where V8 profiles of mayfly and of the floor are written. Profiled figures are for reading profiles only. */
  profileFolder: string | undefined;
};

export const USAGE = `npm run bench:mint -- [options]
  --quick                a smoke run of a few seconds; its figures mean nothing
  --tokens <number>      tokens for each server and round (10000; at most 20000, since nonces run out)
  --rounds <number>      rounds (5)
  --connections <list>   connections at once (64,16)
  --servers <list>       only these (floor,mayfly,unrecorded,peer)
  --profile <folder>     write V8 CPU profiles of mayfly and of the floor there
`;

/** Half a minute is what a DPoP nonce surely lasts; signing and sending have to fit into it. */
const MAX_TOKENS = 20_000;
const MAX_ROUNDS = 100;
const MAX_CONNECTIONS = 1_000;

/** @throws with a message for whoever typed it */
export function readBenchOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      tokens: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      servers: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const { quick, tokens, rounds, connections, servers, profile } = values;
  return {
    tokens: wholeNumber('--tokens', tokens ?? (quick ? '64' : '10000'), MAX_TOKENS),
    warmUpTokens: quick ? 16 : 4_000,
    rounds: wholeNumber('--rounds', rounds ?? (quick ? '1' : '5'), MAX_ROUNDS),
    connections: (connections ?? (quick ? '8' : '64,16'))
      .split(',')
      .map((number) => wholeNumber('--connections', number, MAX_CONNECTIONS)),
    servers: servers?.split(',').map(serverName) ?? SERVER_NAMES,
    idleMilliseconds: quick ? 100 : 3_000,
    profileFolder: profile === undefined ? undefined : resolve(profile),
  };
}

const SERVER_NAMES: readonly ServerName[] = ['floor', 'mayfly', 'unrecorded', 'peer'];

function serverName(text: string): ServerName {
  const name = SERVER_NAMES.find((known) => known === text);
  if (name !== undefined) return name;
  throw new Error(`--servers: some of ${SERVER_NAMES.join(', ')} were expected, not "${text}"`);
}

function wholeNumber(name: string, text: string, max: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= max) return number;
  throw new Error(`${name}: a whole number from 1 to ${max} was expected, not "${text}"`);
}
