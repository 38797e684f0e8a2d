/** A log in memory, with its keys, for tests: entries, leaves, checkpoints, proofs, packs. */
import { generateKeyPairSync } from 'node:crypto';
import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import { type EntryRow, leafOfEntry } from '../../src/audit/entry-document.ts';
import { signHandOver } from '../../src/audit/hand-over.ts';
import { leafHash, rootOfLeaves } from '../../src/audit/merkle-tree.ts';
import type { PackEntry } from '../../src/audit/pack.ts';
import type { SigningKey } from '../../src/audit/sign-note.ts';
import { type VerifierKeyKind, verifierKeyOf } from '../../src/audit/verifier-key.ts';
import { createMemoryTree, type MemoryTree } from './memory-tree.ts';

export const ORIGIN = 'mayfly.example.com/v1/audit';

export function newSigningKey(name: string = ORIGIN, kind: VerifierKeyKind = 'log'): SigningKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return { key: verifierKeyOf({ name, kind, publicKey }), privateKey };
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/** An entry of its own for each index, with everything an entry may hold. */
export function sampleRow(index: number): EntryRow {
  const digits = [...index.toString(32).padStart(10, '0')].map(
    (digit) => ALPHABET[Number.parseInt(digit, 32)],
  );
  const second = String(index % 60).padStart(2, '0');
  return {
    id: `aud_01k5h0m2v3x8q6d0${digits.join('')}`,
    at: `2026-11-23T08:00:${second}.${String(index).padStart(6, '0')}Z`,
    action: index % 7 === 0 ? 'session.revoked' : 'token.minted',
    outcome: index % 5 === 0 ? 'refused' : 'allowed',
    reason: index % 5 === 0 ? 'rate_limited' : null,
    requestId: `req-${index}`,
    actor: 'agent-ä \u2028',
    sessionId: null,
    tokenId: index % 3 === 0 ? '' : `tok_${index}`,
    repetitions: 1 + (index % 4),
    details: { actions: ['db:read:customers'], rule: { catalogue: index, limit: 0.5 }, empty: null },
  };
}

export function sampleEntries(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => leafOfEntry(sampleRow(index)).bytes);
}

export type SampleLog = MemoryTree & {
  leaves: readonly Buffer[];
  entries: readonly Buffer[];
  /** The signed note for this size. */
  checkpoint(size?: number, signers?: readonly SigningKey[]): string;
  handOver(size: number, keys: { from: SigningKey; to: SigningKey }): string;
  packEntries(from?: number, to?: number): PackEntry[];
};

const hashes = new WeakMap<Buffer, Buffer>();

/** The same buffer is hashed once, since mutated logs share most of their entries. */
function hashOf(entry: Buffer): Buffer {
  const hash = hashes.get(entry) ?? leafHash(entry);
  hashes.set(entry, hash);
  return hash;
}

export function createSampleLog(entries: readonly Buffer[], signer: SigningKey): SampleLog {
  const leaves = entries.map(hashOf);
  const tree = createMemoryTree(leaves);
  const origin = signer.key.name;
  return {
    ...tree,
    leaves,
    entries,
    checkpoint(size = entries.length, signers = [signer]) {
      return signCheckpoint({ origin, size, root: tree.rootAt(size) }, signers);
    },
    handOver: (size, keys) => signHandOver({ origin, size, root: tree.rootAt(size) }, keys),
    packEntries(from = 0, to = entries.length) {
      return entries.slice(from, to).map((entry, at) => ({
        index: from + at,
        document: entry.toString(),
        proof: tree.inclusion(from + at),
      }));
    },
  };
}

/** Entries, leaves and a checkpoint over all of them. */
export function wholeLogOf(entries: readonly Buffer[], signer: SigningKey) {
  const leaves = entries.map(hashOf);
  const head = { origin: signer.key.name, size: leaves.length, root: rootOfLeaves(leaves) };
  return { entries, leaves, checkpoint: signCheckpoint(head, [signer]) };
}
