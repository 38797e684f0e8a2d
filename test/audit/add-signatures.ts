import { formatSignedNote, type NoteSignature, parseSignedNote } from '../../src/audit/signed-note.ts';

/** The same note with more signatures. */
export function addSignatures(note: string, signatures: readonly NoteSignature[]): string {
  const { text, signatures: before } = parseSignedNote(note);
  return formatSignedNote({ text, signatures: [...before, ...signatures] });
}
