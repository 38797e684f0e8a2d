/** Where in the log something is written, in a form that can be kept and shown to anybody: for what states a fact. */
import type { EntryDocument } from './entry-document.ts';
import type { LogReader } from './entry-store.ts';
import { formatLogProof } from './log-proof.ts';
import type { KeptCheckpoint } from './signed-head-store.ts';
import type { StoredTree } from './tree-store.ts';

/** `proof` is a C2SP tlog-proof of this entry: with the receipt nothing else is needed but the key of the log. */
export type Citation = { id: string; entry: EntryDocument; proof: string };

/** @returns null until a signed head covers the entry: for about a second */
export type CiteRevocation = (revocation: { epoch: number; at: Date }) => Promise<Citation | null>;

export function createCitations({
  reader,
  tree,
  newestCheckpoint,
}: {
  reader: Pick<LogReader, 'placeOfRevocation'>;
  tree: Pick<StoredTree, 'inclusion'>;
  newestCheckpoint: () => Promise<KeptCheckpoint | null>;
}): CiteRevocation {
  return async (revocation) => {
    const place = await reader.placeOfRevocation(revocation);
    const checkpoint = place === null ? null : await newestCheckpoint();
    if (place === null || checkpoint === null || place.index >= checkpoint.size) return null;
    const { size, note } = checkpoint;
    const proof = await tree.inclusion({ index: place.index, size });
    const { id, entry, index } = place;
    return { id, entry, proof: formatLogProof({ index, proof, checkpoint: note }) };
  };
}
