/** Packs of a sample log, whole or in part, and what comes of them when somebody was at them. */
import { formatPackEntry, formatPackHeader, type PackEntry, type PackHeader } from '../../src/audit/pack.ts';
import type { SigningKey } from '../../src/audit/sign-note.ts';
import { ORIGIN, type SampleLog } from './sample-log.ts';

export function packHeader(
  log: SampleLog,
  { signer, ...change }: Partial<PackHeader> & { signer: SigningKey },
): PackHeader {
  return {
    origin: ORIGIN,
    keys: [signer.key.vkey],
    handOvers: [],
    checkpoint: log.checkpoint(),
    from: 0,
    to: log.size,
    ...change,
  };
}

/** The lines with their line feeds. */
export function packOf(header: PackHeader, entries: readonly PackEntry[]): string[] {
  return [formatPackHeader(header), ...entries.map(formatPackEntry)];
}
