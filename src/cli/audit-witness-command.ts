/**
 * `mayfly audit witness`: cosigns the heads of logs, each of which continues the one before. Run it where the
 * administrator of the log has no say: it is his second story that finds nobody to sign it.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { VerifierKey } from '../audit/verifier-key.ts';
import { DirectoryLockedError, lockDirectory } from '../database/embedded/directory-lock.ts';
import { fail } from './failure.ts';
import { verifierKey } from './log-trust.ts';
import { plainText } from './plain-text.ts';
import { print, say } from './print.ts';
import { makeWitnessKey, readWitnessKey } from './witness-key.ts';
import { createWitnessServer } from './witness-server.ts';
import { openWitnessState } from './witness-state.ts';

type Listen = { host: string; port: number };
type WitnessOptions = {
  listen: Listen;
  keyFile: string;
  name?: string;
  log: readonly VerifierKey[];
  state: string;
};

const DEFAULT_LISTEN = '127.0.0.1:8430';

export function auditWitnessCommand(): Command {
  return new Command('witness')
    .description('run a witness: cosign the heads of logs that continue what was cosigned before')
    .requiredOption('--log <vkey>', 'the key of a log; can be repeated, also for one log', logKeys)
    .requiredOption('--key-file <file>', "the witness's own key; made when it first starts")
    .requiredOption('--state <file>', 'what it has cosigned; never to be restored from a copy')
    .option(
      '--name <name>',
      'of the witness, e.g. witness.example.com/w1 (default: that of its key; needed when it first starts)',
    )
    .addOption(
      new Option('--listen <host:port>', 'plain HTTP')
        .argParser(listenAddress)
        .default(listenAddress(DEFAULT_LISTEN), DEFAULT_LISTEN),
    )
    .action(runWitness);
}

async function runWitness({ listen, keyFile, name, log, state: stateFile }: WitnessOptions): Promise<void> {
  const lock = await locked(stateFile);
  try {
    const existing = readWitnessKey(keyFile, name);
    // The state first: a key without one is taken for a witness that lost what it signed.
    const state = openWitnessState(stateFile, { isNew: existing === null });
    const signer =
      existing ?? makeWitnessKey(keyFile, name ?? fail('usage', 'What is it called? --name says it.'));
    const server = createWitnessServer({
      signer,
      logs: byOrigin(log),
      state,
      nowSeconds: () => Math.floor(Date.now() / 1_000),
      onFailure: (error) => say(plainText(`Not kept, and not signed: ${error}`)),
    });
    server.listen(listen.port, listen.host);
    await once(server, 'listening').catch(({ code }) =>
      fail('usage', `${listen.host}:${listen.port} cannot be listened at (${code}).`),
    );
    const { address, port, family } = server.address() as AddressInfo;
    print(`${signer.key.vkey}\n`);
    say(`The witness listens at http://${family === 'IPv6' ? `[${address}]` : address}:${port}.`);
    await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
    server.close();
    server.closeIdleConnections();
    await once(server, 'close');
  } finally {
    lock.release();
  }
}

async function locked(stateFile: string) {
  try {
    return await lockDirectory(`${stateFile}.lock`);
  } catch (error) {
    if (error instanceof DirectoryLockedError) {
      fail('usage', `Another witness (pid ${error.pid}) uses ${stateFile}. One file belongs to one witness.`);
    }
    const code = error instanceof Error && 'code' in error ? String(error.code) : null;
    if (code === null) throw error;
    return fail('usage', `${stateFile} cannot be used (${code}).`);
  }
}

function byOrigin(keys: readonly VerifierKey[]): Map<string, VerifierKey[]> {
  const logs = new Map<string, VerifierKey[]>();
  for (const key of keys) logs.set(key.name, [...(logs.get(key.name) ?? []), key]);
  return logs;
}

function logKeys(line: string, before: readonly VerifierKey[] | undefined): VerifierKey[] {
  return [...(before ?? []), verifierKey(line)];
}

function listenAddress(text: string): Listen {
  const [, host = '', port = ''] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host !== '' && Number(port) <= 65_535)
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
  throw new InvalidArgumentError('An address and a port, e.g. 127.0.0.1:8430.');
}
