/**
 * A note (C2SP signed-note): a text, an empty line, and lines of signatures of the text. The text means nothing
 * before {@link openNote} has found the signature of a key that the reader knows; signatures of others are ignored,
 * which lets witnesses and new keys sign along, and a wrong one under a known key condemns the whole note.
 */
import { verify } from 'node:crypto';
import { AuditFormatError } from './format-error.ts';
import { decodeBase64, linesOf, textOf } from './note-text.ts';
import { isKeyName, type VerifierKey } from './verifier-key.ts';

/** Sixteen signatures are the least that a reader has to take, with those of post-quantum keys among them. */
export const MAX_NOTE_BYTES = 131_072;
export const MAX_SIGNATURES = 64;

export type NoteSignature = { name: string; keyId: string; signature: Buffer };

/** `text` ends with a line feed. Read, not verified. */
export type SignedNote = { text: string; signatures: readonly NoteSignature[] };

/** Who signed, of those that were asked for. */
export type NoteSigner = {
  key: VerifierKey;
  /** Of a witness: when it saw that checkpoint, in seconds since 1970. */
  timestampSeconds?: number;
};

export type OpenedNote =
  | { outcome: 'verified'; text: string; signers: readonly NoteSigner[] }
  | { outcome: 'unknown-keys' }
  | { outcome: 'bad-signature'; key: VerifierKey };

const KEY_ID_BYTES = 4;
const TIMESTAMP_BYTES = 8;
const SIGNATURE_LINE = /^\u2014 (\S+) ([A-Za-z0-9+/=]+)$/u;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a note must not hold
const CONTROLS = /[\u0000-\u0009\u000b-\u001f]/;

/** @throws {AuditFormatError} when it is not a note */
export function parseSignedNote(source: string | Uint8Array): SignedNote {
  const note = textOf(source);
  if (Buffer.byteLength(note) > MAX_NOTE_BYTES) {
    throw new AuditFormatError(`a note has at most ${MAX_NOTE_BYTES} bytes`);
  }
  if (CONTROLS.test(note)) throw new AuditFormatError('a note holds no control characters but line feeds');
  const emptyLine = note.lastIndexOf('\n\n');
  if (emptyLine === -1) throw new AuditFormatError('a note has an empty line before its signatures');
  const signatures = parseSignatureLines(note.slice(emptyLine + 2));
  return { text: note.slice(0, emptyLine + 1), signatures };
}

/**
 * The lines that a witness answers with, and the end of a note.
 * @throws {AuditFormatError} when there is none, or one that is not a signature line
 */
export function parseSignatureLines(text: string): NoteSignature[] {
  const lines = linesOf(text);
  if (lines.length > MAX_SIGNATURES) {
    throw new AuditFormatError(`a note has at most ${MAX_SIGNATURES} signatures`);
  }
  return lines.map(parseSignatureLine);
}

function parseSignatureLine(line: string): NoteSignature {
  const [, name = '', base64 = ''] = SIGNATURE_LINE.exec(line) ?? [];
  const bytes = decodeBase64(base64);
  if (bytes === null || bytes.length <= KEY_ID_BYTES || !isKeyName(name)) {
    throw new AuditFormatError('a signature line has to be "— <name> <base64>"');
  }
  return {
    name,
    keyId: bytes.subarray(0, KEY_ID_BYTES).toString('hex'),
    signature: bytes.subarray(KEY_ID_BYTES),
  };
}

export function formatSignedNote({ text, signatures }: SignedNote): string {
  return `${text}\n${signatures.map(formatSignatureLine).join('')}`;
}

export function formatSignatureLine({ name, keyId, signature }: NoteSignature): string {
  const bytes = Buffer.concat([Buffer.from(keyId, 'hex'), signature]);
  return `\u2014 ${name} ${bytes.toString('base64')}\n`;
}

/** Looks for the signatures of these keys, and for no others. */
export function openNote(note: SignedNote, keys: readonly VerifierKey[]): OpenedNote {
  const signers = new Map<string, NoteSigner>();
  for (const signature of note.signatures) {
    const known = keys.filter(({ name, keyId }) => name === signature.name && keyId === signature.keyId);
    const [key] = known;
    if (key === undefined) continue;
    const signer = known.map((candidate) => signerOf(note.text, signature, candidate)).find(isFound);
    if (signer === undefined) return { outcome: 'bad-signature', key };
    signers.set(signer.key.vkey, signer);
  }
  if (signers.size === 0) return { outcome: 'unknown-keys' };
  return { outcome: 'verified', text: note.text, signers: [...signers.values()] };
}

const isFound = (signer: NoteSigner | null): signer is NoteSigner => signer !== null;

function signerOf(text: string, { signature }: NoteSignature, key: VerifierKey): NoteSigner | null {
  if (key.kind === 'log') return verify(null, Buffer.from(text), key.keyObject, signature) ? { key } : null;
  const timestampSeconds = timestampOf(signature);
  if (timestampSeconds === null) return null;
  const message = Buffer.from(cosignedMessage(text, timestampSeconds));
  const isGood = verify(null, message, key.keyObject, signature.subarray(TIMESTAMP_BYTES));
  return isGood ? { key, timestampSeconds } : null;
}

/** What a witness signs (C2SP tlog-cosignature, "Ed25519 signed message"). */
export function cosignedMessage(text: string, timestampSeconds: number): string {
  return `cosignature/v1\ntime ${timestampSeconds}\n${text}`;
}

/** Zero is the timestamp of a witness that does not say when. */
function timestampOf(signature: Buffer): number | null {
  if (signature.length <= TIMESTAMP_BYTES) return null;
  const timestamp = Number(signature.readBigUInt64BE());
  return timestamp > 0 && Number.isSafeInteger(timestamp) ? timestamp : null;
}
