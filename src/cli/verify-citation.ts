/**
 * Whether the audit log holds what a receipt states, found out without asking anybody: the entry that came with the
 * receipt says the same, its hash is in the tree by the proof, and the tree was signed by the key of the log that a person
 * pinned. Without a pinned key all but the last is checked, and that is said.
 */

import { parseCheckpoint } from '../audit/checkpoint.ts';
import type { EntryDocument } from '../audit/entry-document.ts';
import { AuditFormatError } from '../audit/format-error.ts';
import { type Judgement, judgeCheckpoint } from '../audit/judge-checkpoint.ts';
import { type LogProof, parseLogProof } from '../audit/log-proof.ts';
import { verifyInclusion } from '../audit/merkle-proof.ts';
import { leafHash } from '../audit/merkle-tree.ts';
import { parseSignedNote } from '../audit/signed-note.ts';
import type { TreeHead } from '../audit/trusted-log.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import type { Receipt } from '../revocations/receipt.ts';
import { fail } from './failure.ts';
import type { LogTrust } from './log-trust.ts';
import { wordsFor } from './refused-checkpoint.ts';

/** As the answer with a receipt has it; nothing of it is believed. */
export type OfferedCitation = { id?: unknown; entry?: unknown; proof?: unknown };

export type Cited = {
  entry: string;
  index: number;
  log_size: number;
  /** Whether the head of that log has the signature of a key that a person pinned. */
  signed: boolean;
  /** Whether that head was held against the one that was seen before, if any: offline only one of its size can be. */
  compared_with_memory?: boolean;
};

/**
 * @param trustFor opens what the reader trusts; null when no key of the log is pinned
 * @throws {CommandFailure} with 7 when the receipt and the log do not say the same
 */
export async function verifyCitation(
  { id, entry, proof: text }: OfferedCitation,
  receipt: Receipt,
  trustFor: (checkpoint: string) => LogTrust | null,
): Promise<Cited> {
  const document = entryIn(entry, id);
  const contradiction = contradictionOf(document, receipt);
  if (contradiction !== null)
    refuse(`The entry ${document.id} says another ${contradiction} than the receipt`);
  const proof = proofIn(text);
  const head = headIn(proof);
  const leaf = leafHash(Buffer.from(canonicalJson(document)));
  if (!verifyInclusion({ index: proof.index, size: head.size, leaf, proof: proof.proof, root: head.root })) {
    refuse(`The log of ${head.size} entries does not hold ${document.id} as entry ${proof.index}`);
  }
  const trust = trustFor(proof.checkpoint);
  const found = { entry: document.id, index: proof.index, log_size: head.size };
  if (trust === null) return { ...found, signed: false };
  const { newest } = trust.trusted;
  const isComparable = newest?.size === head.size;
  await believe(trust, proof.checkpoint, isComparable);
  return { ...found, signed: true, ...(newest !== null && { compared_with_memory: isComparable }) };
}

/** Offline there is no proof from one tree to another, so only trees of one size can be compared. */
async function believe({ trusted, policy, memory }: LogTrust, checkpoint: string, isComparable: boolean) {
  const compared = isComparable ? trusted : { ...trusted, newest: null };
  const judgement: Judgement = judgeCheckpoint(compared, { checkpoint }, policy);
  if (judgement.outcome !== 'accepted') {
    const hint = judgement.outcome === 'wrong-key' ? ' "mayfly audit verify --live" follows hand-overs.' : '';
    refuse(`${wordsFor(judgement)}${hint}`.replace(/\.$/, ''));
  }
  // What was seen before is not given up for a head that could not be compared with it.
  if (memory.trusted === null) await memory.keep(judgement.trusted);
}

function entryIn(entry: unknown, id: unknown): EntryDocument {
  const isEntry = typeof entry === 'object' && entry !== null && !Array.isArray(entry);
  if (!isEntry || typeof id !== 'string') return refuse('What is cited is no entry');
  const document = entry as EntryDocument;
  return document.id === id ? document : refuse('What is cited is another entry');
}

/** The member in which they differ. */
function contradictionOf({ actor, details }: EntryDocument, receipt: Receipt): string | null {
  const { epoch, target, standing, reason } = receipt;
  const said = (typeof details === 'object' && details !== null ? details : {}) as Record<string, unknown>;
  const pairs: [name: string, stated: unknown, logged: unknown][] = [
    ['epoch', epoch, said.epoch],
    ['kind of target', target.kind, said.kind],
    ['target', target.id ?? '', said.target],
    ['effect', standing, said.standing],
    ['reason', reason, said.reason],
    ['actor', receipt.actor, actor],
  ];
  return pairs.find(([, stated, logged]) => stated !== logged)?.[0] ?? null;
}

function proofIn(text: unknown): LogProof {
  return readable(() => parseLogProof(typeof text === 'string' ? text : ''));
}

function headIn({ checkpoint }: LogProof): TreeHead {
  return readable(() => parseCheckpoint(parseSignedNote(checkpoint).text));
}

function readable<Thing>(read: () => Thing): Thing {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof AuditFormatError)) throw error;
    return refuse(`What is cited is no proof: ${error.message}`);
  }
}

function refuse(why: string): never {
  return fail('verification', `Not verified. ${why}.`);
}
