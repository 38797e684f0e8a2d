/**
 * `mayfly audit show`: one entry, and whether it stands in the log. The proof is verified here, against the key that
 * was pinned and the newest head that was seen, so that the broker cannot show an entry that nobody else will see.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Command } from 'commander';
import type { EntryDocument } from '../audit/entry-document.ts';
import { AuditFormatError } from '../audit/format-error.ts';
import { judgeLive, sizeIn } from '../audit/judge-live.ts';
import { originOf } from '../audit/log-key.ts';
import { type LogProof, parseLogProof } from '../audit/log-proof.ts';
import { verifyInclusion } from '../audit/merkle-proof.ts';
import { leafHash } from '../audit/merkle-tree.ts';
import { formatHash, parseHash } from '../audit/note-text.ts';
import type { Environment } from '../config/environment.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import { MAY_READ } from './entry-texts.ts';
import { fail } from './failure.ts';
import { filledIn } from './filled-in.ts';
import { addTrustOptions, type LogTrust, openTrust, type TrustOptions } from './log-trust.ts';
import { createOperatorClient, type Json, type OperatorClient } from './operator-client.ts';
import { addConnectionOptions, type OperatorOptions } from './operator-commands.ts';
import { readIdentity } from './operator-identity.ts';
import { printOne } from './print.ts';
import { openPublicLog, type PublicLog } from './public-log.ts';
import { wordsFor } from './refused-checkpoint.ts';
import { witnessedHead } from './witnessed-head.ts';

type ShowOptions = OperatorOptions & TrustOptions;

const PATH = '/v1/audit/entries/{id}';
/** An entry has its place after a second. */
const PATIENCE_SECONDS = 15;
const LOOK_MILLISECONDS = 1_000;

export function auditShowCommand(environment: Environment): Command {
  const command = new Command('show')
    .description('one entry, and whether it stands in the log; ends with 7 when it does not')
    .argument('<id>', 'of the entry');
  addConnectionOptions(addTrustOptions(command, '--log-key'));
  return command.action(async (id: string, options: ShowOptions) => {
    const client = createOperatorClient(readIdentity(environment, options));
    const found = await placed(client, id);
    const { proof, leaf, entry } = partsOf(found, id);
    const log = openPublicLog(client.issuer);
    const { keys, handOvers } = await log.keys();
    const told = { origin: originOf(client.issuer), keys, checkpoint: proof.checkpoint };
    const trust = openTrust(environment, options, told);
    const shown = await underWitnesses(proof, log, trust);
    const judgement = await judgeLive(log, trust, { checkpoint: shown.checkpoint, handOvers });
    if (judgement.outcome !== 'accepted') fail('verification', `Not verified. ${wordsFor(judgement)}`);
    const { size, root } = judgement.checkpoint;
    if (!verifyInclusion({ index: proof.index, size, leaf, proof: shown.proof, root })) {
      fail(
        'verification',
        `Not verified. The signed log of ${size} entries does not hold this one as entry ${proof.index}.`,
      );
    }
    await trust.memory.keep(judgement.trusted);
    const facts = { verified: true, index: proof.index, log_size: size, memory: trust.memory.path };
    printOne(
      { ...facts, leaf_hash: formatHash(leaf), ...(entry ?? { id, text: 'past its retention' }) },
      options.output,
    );
  });
}

/** The same under a head that the witnesses have signed, which the newest often is not yet. */
async function underWitnesses(proof: LogProof, log: PublicLog, trust: LogTrust): Promise<LogProof> {
  const seen = trust.trusted.newest?.size ?? 0;
  const checkpoint = await witnessedHead(log, trust, Math.max(seen, proof.index + 1));
  if (checkpoint === null) return proof;
  const tree = log.tree(sizeIn(checkpoint) ?? 0);
  return { ...proof, checkpoint, proof: await tree.inclusion(proof.index) };
}

/** @throws {CommandFailure} when it has no place in the log after a while */
async function placed(client: OperatorClient, id: string): Promise<Json> {
  const path = filledIn(PATH, { id });
  const until = performance.now() + PATIENCE_SECONDS * 1_000;
  for (;;) {
    const { body } = await client.ask({ may: MAY_READ, method: 'GET', path, about: `an entry ${id}` });
    if (typeof body.proof === 'string') return body;
    if (performance.now() > until) {
      fail(
        'verification',
        `Not verified. The entry has waited for ${PATIENCE_SECONDS} s without a place in the signed log.`,
      );
    }
    await wait(LOOK_MILLISECONDS);
  }
}

/** What is hashed is what is shown, and not a hash that came with it; unless nothing else is left. */
function partsOf(body: Json, id: string): { proof: LogProof; leaf: Buffer; entry: EntryDocument | null } {
  const entry = (body.entry ?? null) as EntryDocument | null;
  if (entry !== null && entry.id !== id)
    fail('verification', 'Not verified. What came back is another entry.');
  try {
    const proof = parseLogProof(String(body.proof));
    const leaf =
      entry === null ? parseHash(String(body.leaf_hash)) : leafHash(Buffer.from(canonicalJson(entry)));
    return { proof, leaf, entry };
  } catch (error) {
    if (!(error instanceof AuditFormatError)) throw error;
    return fail('verification', `Not verified. What came back is no proof: ${error.message}.`);
  }
}
