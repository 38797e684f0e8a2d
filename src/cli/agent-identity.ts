/**
 * Which broker a command speaks to, and as which agent. Right after `npm start` nothing has to be said, as for
 * operators. The key becomes one that signs and cannot be read the moment it is known: no command holds its text, so
 * none can print it or pass it on.
 */
import { realpathSync, statSync } from 'node:fs';
import type { Environment } from '../config/environment.ts';
import { AgentError } from '../sdk/agent-error.ts';
import { openKey } from '../sdk/agent-key.ts';
import { keyFromFile } from '../sdk/node.ts';
import type { Signer } from '../sdk/signer.ts';
import { type ConnectionOptions, readConnection } from './connection.ts';
import { firstDevelopmentClient, requireDevelopmentKey } from './development-clients.ts';
import { fail } from './failure.ts';
import { plainText } from './plain-text.ts';
import { say } from './print.ts';

export type AgentIdentity = {
  issuer: string;
  clientId: string;
  key: Signer;
  /** Where the key was read from, without links on the way; undefined when it came from no file. */
  keyPath: string | undefined;
  /** Where a broker on this machine keeps all the keys that it makes. */
  dataDirectory: string;
};

/** The one that the examples speak of. */
const SAMPLE_AGENT = 'report-writer';
const STANDARD_INPUT = '-';
const MAX_KEY_BYTES = 16_384;
const READABLE_BY_OTHERS = 0o044;

type Found = { clientId: string; path: string } | { clientId: string; from: string; text: string };

/** @throws {CommandFailure} with what to do @throws {ConfigurationError} */
export async function readAgentIdentity(
  environment: Environment,
  options: ConnectionOptions,
  { warn = say }: { warn?: (text: string) => void } = {},
): Promise<AgentIdentity> {
  const configuration = readConnection(environment, options, 'agent');
  const { issuer, dataDirectory, agent } = configuration;
  const given = options.as ?? agent.name;
  const named = () => given ?? fail('usage', 'Whose key is that? Say it with --as, or in MAYFLY_AGENT.');

  async function find(): Promise<Found> {
    if (options.key === STANDARD_INPUT) {
      return { clientId: named(), from: 'the standard input', text: await readStandardInput() };
    }
    if (options.key !== undefined) return { clientId: named(), path: options.key };
    if (agent.keyFile !== undefined) return { clientId: named(), path: agent.keyFile };
    if (agent.key !== undefined) return { clientId: named(), from: 'MAYFLY_AGENT_KEY', text: agent.key };
    const clientId = given ?? firstDevelopmentClient(configuration, 'agent', SAMPLE_AGENT);
    return { clientId, path: requireDevelopmentKey(configuration, 'agent', clientId) };
  }

  const found = await find();
  const key = await openFound(found);
  const keyPath = 'path' in found ? realpathSync(found.path) : undefined;
  if (keyPath !== undefined && isReadable(keyPath)) {
    warn(plainText(`The key at ${keyPath} can be read by others on this machine: chmod 600 ${keyPath}`));
  }
  return { issuer, clientId: found.clientId, key, keyPath, dataDirectory };
}

async function openFound(found: Found): Promise<Signer> {
  try {
    return await ('path' in found ? keyFromFile(found.path) : openKey(found.text));
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const from = 'path' in found ? found.path : found.from;
    return fail('usage', plainText(`The key from ${from} cannot be used. ${error.message}`));
  }
}

/** Bounded: a file of something else that was piped in by mistake is no key. */
async function readStandardInput(): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_KEY_BYTES)
      fail('usage', `The standard input is no key: longer than ${MAX_KEY_BYTES} bytes.`);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Said and not refused: where secrets are mounted, their owner often cannot choose the mode. */
function isReadable(path: string): boolean {
  return (statSync(path).mode & READABLE_BY_OTHERS) !== 0;
}
