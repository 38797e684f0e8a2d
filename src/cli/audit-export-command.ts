/**
 * `mayfly audit export`: a part of the log as a file that anybody can check without asking anybody. The proofs are
 * made here, out of the log's hashes, and each is tried before it is written: what is exported verifies.
 */
import { once } from 'node:events';
import { Command } from 'commander';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { offeredHandOvers } from '../audit/judge-live.ts';
import { originOf } from '../audit/log-key.ts';
import type { LogTree } from '../audit/log-tree.ts';
import { verifyInclusion } from '../audit/merkle-proof.ts';
import { leafHash } from '../audit/merkle-tree.ts';
import { formatPackEntry, formatPackHeader, type PackEntry } from '../audit/pack.ts';
import type { TreeHead } from '../audit/trusted-log.ts';
import type { Environment } from '../config/environment.ts';
import { type ConnectionOptions, readConnection } from './connection.ts';
import { type EntryText, entryTexts } from './entry-texts.ts';
import { EXIT, fail } from './failure.ts';
import { memoryPath, openLogMemory } from './log-memory.ts';
import { addWitnessOptions, policyOf, readableKeys, wholeNumber } from './log-trust.ts';
import { createOperatorClient } from './operator-client.ts';
import { addIdentityOptions } from './operator-commands.ts';
import { readIdentity } from './operator-identity.ts';
import { say } from './print.ts';
import { openPublicLog, type PublicLog, type ToldKeys } from './public-log.ts';
import { witnessedHead } from './witnessed-head.ts';

type ExportOptions = ConnectionOptions & {
  from: number;
  to?: number;
  since?: number;
  witness: readonly string[];
  quorum?: number;
};

export function auditExportCommand(environment: Environment): Command {
  const command = new Command('export')
    .description('entries with their proofs, to be kept and verified anywhere; goes to standard output')
    .option('--from <index>', 'the first entry', wholeNumber, 0)
    .option('--to <index>', 'up to, and without, this one (default: the end)', wholeNumber)
    .option(
      '--since <size>',
      'with the proof that the log continues the one of so many entries (default: that in memory)',
      wholeNumber,
    );
  addWitnessOptions(command);
  return addIdentityOptions(command).action(async (options: ExportOptions) => {
    const client = createOperatorClient(readIdentity(environment, options));
    const log = openPublicLog(client.issuer);
    const { head, note, keys } = await signedHead(log, originOf(client.issuer), options);
    process.exitCode = EXIT.usage; // whoever reads it may stop reading: print.ts ends then, and this is half a pack
    const { from, to } = rangeWithin(head.size, options);
    const tree = log.tree(head.size);
    const since = options.since ?? rememberedSize(environment, keys.origin, head.size);
    await write(formatPackHeader({ ...(await headerOf(tree, { keys, note, since })), from, to }));
    for await (const { entries } of entryTexts(client, { from, to, size: head.size })) {
      for (const entry of entries) await write(formatPackEntry(await proved(tree, head, entry)));
    }
    process.exitCode = 0;
    say(`${to - from} entries, under a signed head over ${head.size}.`);
  });
}

/** Signed by one of the keys that the log shows; whether that is the right one is for whoever verifies. */
async function signedHead(
  log: PublicLog,
  origin: string,
  { to = 0, ...insisted }: ExportOptions,
): Promise<{ head: TreeHead; note: string; keys: ToldKeys }> {
  const policy = policyOf(insisted);
  const cosigned = await witnessedHead(log, { trusted: { newest: null }, policy }, to);
  if (cosigned === null && (policy.quorum ?? 0) > 0) {
    fail('verification', `No head of the log is cosigned by ${policy.quorum} of these witnesses.`);
  }
  const [note, keys] = [cosigned ?? (await log.checkpoint()), await log.keys()];
  const opened = openCheckpoint(note, { origin, keys: readableKeys(keys.keys) });
  if (opened.outcome === 'verified') return { head: opened.checkpoint, note, keys: { ...keys, origin } };
  return fail('verification', `The log has not signed the head that it shows (${opened.outcome}).`);
}

function rangeWithin(
  size: number,
  { from, to = size, since = 0 }: ExportOptions,
): { from: number; to: number } {
  if (from < to && to <= size && since <= size) return { from, to };
  return fail(
    'usage',
    `The log has ${size} entries: --from, --to and --since are within that, and --from is before --to.`,
  );
}

function rememberedSize(environment: Environment, origin: string, size: number): number {
  const { dataDirectory } = readConnection(environment, {});
  const seen = openLogMemory(memoryPath(environment, origin, dataDirectory)).trusted?.newest?.size ?? 0;
  return seen < size ? seen : 0;
}

async function headerOf(
  tree: LogTree,
  { keys, note, since }: { keys: ToldKeys; note: string; since: number },
) {
  const consistency =
    since === 0 ? {} : { consistency: { from: since, proof: await tree.consistency(since) } };
  const handOvers = await offeredHandOvers(tree, keys.handOvers);
  return { origin: keys.origin, keys: keys.keys, handOvers, checkpoint: note, ...consistency };
}

async function proved(
  tree: LogTree,
  { size, root }: TreeHead,
  { index, document, leaf }: EntryText,
): Promise<PackEntry> {
  const proof = await tree.inclusion(index);
  const hash = document === null ? leaf : leafHash(Buffer.from(document));
  if (!verifyInclusion({ index, size, leaf: hash, proof, root })) {
    fail('verification', `Entry ${index} is not what was signed. The export ends before it.`);
  }
  return document === null ? { index, document, leaf, proof } : { index, document, proof };
}

/** As fast as it is taken: nothing piles up here. */
async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}
