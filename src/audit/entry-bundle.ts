/** Entries as `tile/entries/…` serves them (C2SP tlog-tiles): each behind its length, two bytes big-endian. */
import { AuditFormatError } from './format-error.ts';

export const MAX_ENTRY_BYTES = 65_535;
const LENGTH_BYTES = 2;

export function formatEntryBundle(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > MAX_ENTRY_BYTES)
        throw new RangeError(`an entry has at most ${MAX_ENTRY_BYTES} bytes`);
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** @throws {AuditFormatError} when these are not exactly `width` entries */
export function parseEntryBundle(bundle: Uint8Array, width: number): Buffer[] {
  const bytes = Buffer.from(bundle);
  const entries: Buffer[] = [];
  let at = 0;
  while (at < bytes.length && entries.length < width) {
    const start = at + LENGTH_BYTES;
    const end = start <= bytes.length ? start + bytes.readUInt16BE(at) : Number.POSITIVE_INFINITY;
    if (end > bytes.length) throw new AuditFormatError('a bundle ends within an entry');
    entries.push(bytes.subarray(start, end));
    at = end;
  }
  if (entries.length !== width || at !== bytes.length) {
    throw new AuditFormatError(`a bundle of ${width} entries was expected`);
  }
  return entries;
}
