/**
 * Shows one witness the newest head of the log (C2SP tlog-witness, add-checkpoint) and brings back its cosignature. A
 * witness remembers what it cosigned; when it says that it saw another log than this one, somebody changed this one
 * or brought an older one back, whatever our own tables say.
 */
import { parseCheckpoint } from './checkpoint.ts';
import { AuditFormatError } from './format-error.ts';
import { parseDecimal } from './note-text.ts';
import { formatSignatureLine, openNote, parseSignatureLines, parseSignedNote } from './signed-note.ts';
import { MissingHashError, type StoredTree } from './tree-store.ts';
import type { VerifierKey } from './verifier-key.ts';
import { formatAddCheckpoint, TREE_SIZE_TYPE } from './witness.ts';

export type SignedHead = { size: number; note: string };

export type Submission =
  | { outcome: 'cosigned'; size: number; line: string }
  /** The witness cosigned a log that this one does not continue. */
  | { outcome: 'forked'; why: string }
  /** It has signed nothing of this log, since it does not know it. */
  | { outcome: 'unknown'; why: string }
  /** It gave no answer that counts: try again later. */
  | { outcome: 'failed'; why: string };

const TIMEOUT_MILLISECONDS = 5_000;
const MAX_ANSWER_BYTES = 8_192;
/** With the size that we remember, and with those that it corrects us to. */
const MAX_ATTEMPTS = 3;

export async function submitCheckpoint(options: {
  url: string;
  key: VerifierKey;
  /** Where the witness is, as far as we know. */
  oldSize: number;
  newest: () => Promise<SignedHead>;
  tree: Pick<StoredTree, 'consistency'>;
  signal: AbortSignal;
}): Promise<Submission> {
  const { url, key, newest, tree, signal } = options;
  let oldSize = options.oldSize;
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    // Read anew each time: another broker may have signed and shown a larger one meanwhile.
    const { size, note } = await newest();
    if (oldSize > size) {
      return { outcome: 'forked', why: `it has cosigned ${oldSize} entries, and the log has signed ${size}` };
    }
    const proof = await proveFrom(tree, { first: oldSize, second: size });
    if (proof === null) return { outcome: 'forked', why: 'hashes that the proof needs are wanting' };
    const answer = await post(
      `${url}/add-checkpoint`,
      formatAddCheckpoint({ oldSize, proof, checkpoint: note }),
      signal,
    );
    if (typeof answer === 'string') return { outcome: 'failed', why: answer };
    if (answer.status === 200) return readCosignature(answer.text, { note, size, key });
    const latest = answer.status === 409 ? readSize(answer) : null;
    const refusal = refusalIn(answer, { oldSize, size, latest });
    if (refusal !== null) return refusal;
    oldSize = latest ?? oldSize;
  }
  return { outcome: 'failed', why: 'it is somewhere else each time' };
}

/**
 * That the root is another one at the same size was a 409 in version 1.0.0 of the standard, and is a 422 since.
 * @returns null when it told a size from which to ask once more
 */
function refusalIn(
  { status }: Reply,
  { oldSize, size, latest }: { oldSize: number; size: number; latest: number | null },
): Submission | null {
  const isConflict = size > 0 && (status === 409 || status === 422); // not everybody takes the empty log
  const isOtherRoot = isConflict && oldSize === size && (latest ?? size) === size;
  if (isOtherRoot) return { outcome: 'forked', why: `it has cosigned another root of ${size} entries` };
  if (isConflict && status === 422)
    return { outcome: 'forked', why: `it refuses the proof from ${oldSize} to ${size}` };
  if (status === 404) return { outcome: 'unknown', why: 'it does not know this log' };
  return latest === null ? { outcome: 'failed', why: `it answered ${status}` } : null;
}

async function proveFrom(
  tree: Pick<StoredTree, 'consistency'>,
  trees: { first: number; second: number },
): Promise<Buffer[] | null> {
  if (trees.first === 0 || trees.first === trees.second) return [];
  try {
    return await tree.consistency(trees);
  } catch (error) {
    if (error instanceof MissingHashError) return null;
    throw error;
  }
}

type Reply = { status: number; contentType: string; text: string };

/** @returns why there is no answer */
async function post(url: string, body: string, signal: AbortSignal): Promise<Reply | string> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      body,
      headers: { 'Content-Type': 'text/plain; charset=utf-8' },
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MILLISECONDS)]),
    });
    const text = await readBounded(response);
    if (text === null) return 'its answer is too long';
    return { status: response.status, contentType: response.headers.get('content-type') ?? '', text };
  } catch (error) {
    const { name, cause } = error as Error & { cause?: { code?: string } };
    return name === 'TimeoutError'
      ? 'it did not answer in time'
      : `it cannot be reached (${cause?.code ?? name})`;
  }
}

async function readBounded({ body }: Response): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What it answers is believed for the signature that it holds and for nothing else. */
function readCosignature(
  text: string,
  { note, size, key }: { note: string; size: number; key: VerifierKey },
): Submission {
  try {
    const { text: signed } = parseSignedNote(note);
    const signatures = parseSignatureLines(text).filter(
      ({ name, keyId }) => name === key.name && keyId === key.keyId,
    );
    const opened = openNote({ text: signed, signatures }, [key]);
    const [signature] = signatures;
    if (opened.outcome === 'verified' && signature !== undefined && parseCheckpoint(signed).size === size) {
      return { outcome: 'cosigned', size, line: formatSignatureLine(signature) };
    }
  } catch (error) {
    if (!(error instanceof AuditFormatError)) throw error;
  }
  return { outcome: 'failed', why: 'its answer is not its signature of this checkpoint' };
}

function readSize({ contentType, text }: Reply): number | null {
  if (contentType.split(';')[0]?.trim() !== TREE_SIZE_TYPE || !text.endsWith('\n')) return null;
  try {
    return parseDecimal(text.slice(0, -1));
  } catch (error) {
    if (error instanceof AuditFormatError) return null;
    throw error;
  }
}
