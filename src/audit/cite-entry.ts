/** Where in the log something is written, in a form that can be kept and shown to anybody: for what states a fact. */
import type { LogReader } from './entry-store.ts';
import { formatLogProof } from './log-proof.ts';
import type { KeptCheckpoint } from './log-store.ts';
import type { StoredTree } from './tree-store.ts';

/** `proof` is a C2SP tlog-proof, of the entry with this id. */
export type Citation = { id: string; proof: string };

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
    return { id: place.id, proof: formatLogProof({ index: place.index, proof, checkpoint: note }) };
  };
}
