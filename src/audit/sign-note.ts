/** Makes notes and cosignatures. Signing proves nothing about the text: what may be signed is its caller's rule. */
import { type KeyObject, sign } from 'node:crypto';
import { cosignedMessage, formatSignedNote, type NoteSignature, parseSignedNote } from './signed-note.ts';
import type { VerifierKey } from './verifier-key.ts';

const TIMESTAMP_BYTES = 8;

/** `key` is the public half of `privateKey`, with its name. */
export type SigningKey = { key: VerifierKey; privateKey: KeyObject };

/**
 * @param text ends with a line feed
 * @throws {AuditFormatError} when the text cannot be one of a note
 */
export function signNote(text: string, signers: readonly SigningKey[]): string {
  const signatures = signers.map(({ key, privateKey }) => {
    if (key.kind !== 'log') throw new RangeError('a witness signs checkpoints with a time, by cosignNote');
    return { name: key.name, keyId: key.keyId, signature: sign(null, Buffer.from(text), privateKey) };
  });
  return checked(formatSignedNote({ text, signatures }));
}

/**
 * A witness's word that at this time this was the largest consistent tree that it had seen of that log.
 * @param text of the checkpoint
 * @param timestampSeconds since 1970, not 0
 */
export function cosignNote(
  text: string,
  { signer, timestampSeconds }: { signer: SigningKey; timestampSeconds: number },
): NoteSignature {
  const { key, privateKey } = signer;
  if (key.kind !== 'witness') throw new RangeError('a cosignature is made with the key of a witness');
  if (!Number.isSafeInteger(timestampSeconds) || timestampSeconds <= 0) {
    throw new RangeError('a cosignature names a whole second after 1970');
  }
  const timestamp = Buffer.alloc(TIMESTAMP_BYTES);
  timestamp.writeBigUInt64BE(BigInt(timestampSeconds));
  const signature = sign(null, Buffer.from(cosignedMessage(text, timestampSeconds)), privateKey);
  return { name: key.name, keyId: key.keyId, signature: Buffer.concat([timestamp, signature]) };
}

/** Whoever writes what no reader takes had better know it at once. */
function checked(note: string): string {
  parseSignedNote(note);
  return note;
}
