/**
 * One entry's place in the log as one text that can be kept and shown to anybody (C2SP tlog-proof): index, inclusion
 * proof and a signed checkpoint. What it proves, it proves of the leaf hash that the reader computed by himself.
 */
import { AuditFormatError } from './format-error.ts';
import { decodeBase64, formatHash, linesOf, parseDecimal, parseProof, textOf } from './note-text.ts';
import { MAX_NOTE_BYTES } from './signed-note.ts';

export type LogProof = {
  index: number;
  proof: readonly Buffer[];
  /** The signed note. */
  checkpoint: string;
  /** Signed by nobody: a hint where to look, never a reason to believe. */
  extra?: Buffer;
};

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_PROOF_BYTES = 2 * MAX_NOTE_BYTES;

export function formatLogProof({ index, proof, checkpoint, extra }: LogProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${extra.toString('base64')}`]),
    `index ${index}`,
  ];
  return `${[...lines, ...proof.map(formatHash)].join('\n')}\n\n${checkpoint}`;
}

/** @throws {AuditFormatError} */
export function parseLogProof(source: string | Uint8Array): LogProof {
  const text = textOf(source);
  if (text.length > MAX_PROOF_BYTES) throw new AuditFormatError('a proof is not that long');
  const end = text.indexOf('\n\n');
  if (end === -1) throw new AuditFormatError('a proof has an empty line before its checkpoint');
  const [header, ...lines] = linesOf(text.slice(0, end + 1));
  if (header !== HEADER) throw new AuditFormatError(`a proof begins with ${HEADER}`);
  const extra = lines[0]?.startsWith('extra ') ? extraOf(lines.shift() ?? '') : undefined;
  const index = lines.shift() ?? '';
  if (!index.startsWith('index ')) throw new AuditFormatError('a proof names the index of its entry');
  return {
    index: parseDecimal(index.slice('index '.length)),
    proof: parseProof(lines),
    checkpoint: text.slice(end + 2),
    ...(extra === undefined ? {} : { extra }),
  };
}

function extraOf(line: string): Buffer {
  const bytes = decodeBase64(line.slice('extra '.length));
  if (bytes === null || bytes.length === 0) throw new AuditFormatError('what is extra has to be base64');
  return bytes;
}
