/**
 * What verifiers hand back after a failover that lost something (L25): pages and lease answers, as brokers signed them.
 * Who carried them needs no trust, for they are believed under the ledger keys that this database knows. All of it is
 * checked before any of it is used: one bad line, and nothing counts.
 */
import { readCompactJws, type UnverifiedJwt } from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import type { LedgerEntry, LedgerPage } from './ledger-entry.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  leaseMessage,
  ledgerPageMessage,
  MAX_MESSAGE_LENGTH,
  MESSAGE_BOUNDS,
  readMessage,
} from './ledger-message.ts';

export class EvidenceError extends Error {
  override readonly name = 'EvidenceError';
}

export type LedgerKeyState = { key: VerificationKey; isRevoked: boolean };

/** An entry, and the newest generation of the ledger in which somebody had it. */
export type EvidencedEntry = LedgerEntry & {
  generation: number;
  /** Then it stands no longer, and is as an ordinary one. */
  isReleased: boolean;
  /** NumericDate of the first message that had it: it is at least that old. */
  saidAt: number;
};

type Told = { iss: string; iat: number; page: LedgerPage };

const MAX_LINES = 100_000;
const SCHEMAS = { [LEDGER_PAGE_TYPE]: ledgerPageMessage, [LEASE_TYPE]: leaseMessage } as const;

/**
 * @param text one compact JWS on a line; empty lines mean nothing
 * @returns every entry once, in the order of the ledger; releases are marks on what they release, not entries
 * @throws {EvidenceError} that names the first line that cannot be believed
 */
export function readEvidence(
  text: string,
  { issuer, keys }: { issuer: string; keys: ReadonlyMap<string, LedgerKeyState> },
): EvidencedEntry[] {
  const lines = text.split(/\r?\n/).map((line, index) => ({ line: line.trim(), number: index + 1 }));
  const told = lines.filter(({ line }) => line !== '');
  if (told.length === 0) throw new EvidenceError('The file has no line of evidence in it.');
  if (told.length > MAX_LINES)
    throw new EvidenceError(`More than ${MAX_LINES} lines; give a part at a time.`);
  return entriesOf(
    told.map(({ line, number }) => {
      const refuse = (because: string): never => {
        throw new EvidenceError(`Line ${number} ${because} Nothing was recovered.`);
      };
      return readLine(line, { issuer, keys, refuse });
    }),
  );
}

function readLine(
  line: string,
  {
    issuer,
    keys,
    refuse,
  }: {
    issuer: string;
    keys: ReadonlyMap<string, LedgerKeyState>;
    refuse: (because: string) => never;
  },
): Told {
  const { typ, kid } = unverified(line)?.header ?? refuse('is not a signed message.');
  if (typ !== LEDGER_PAGE_TYPE && typ !== LEASE_TYPE) {
    return refuse(`is neither a page of the ledger nor a lease: its "typ" is ${plainTyp(typ)}.`);
  }
  const known = typeof kid === 'string' ? keys.get(kid) : undefined;
  if (known === undefined) return refuse('is signed with a key that is no ledger key of this database.');
  if (known.isRevoked) return refuse(`is signed with ${kid}, which was revoked: anybody may have signed it.`);
  const schema = SCHEMAS[typ];
  const message = readMessage<Told>(line, {
    typ,
    schema,
    keyOf: (named) => (named === kid ? known.key : null),
  });
  if (message === null) return refuse('was forged or damaged: signature or contents are wrong.');
  if (message.iss !== issuer) return refuse(`is of ${JSON.stringify(message.iss)}, not of ${issuer}.`);
  return message;
}

/** Nobody signed that for us: it goes to a terminal, so only what a type is made of (RFC 6838 §4.2). */
function plainTyp(typ: unknown): string {
  return typeof typ === 'string' && /^[\w!#$&^.+-]{1,127}$/.test(typ) ? `"${typ}"` : 'none that is known';
}

function unverified(line: string): UnverifiedJwt | null {
  try {
    return readCompactJws(line, MAX_MESSAGE_LENGTH, { bounds: MESSAGE_BOUNDS });
  } catch {
    return null;
  }
}

function entriesOf(messages: readonly Told[]): EvidencedEntry[] {
  const entries = new Map<string, EvidencedEntry>();
  const digests = new Map<number, Set<string>>();
  const releases = new Set<number>();
  for (const { iat, page } of messages) {
    for (const entry of page.entries) {
      const name = `${entry.epoch} ${entry.digest}`;
      const known = entries.get(name);
      entries.set(name, {
        ...entry,
        generation: Math.max(page.generation, known?.generation ?? 0),
        saidAt: Math.min(iat, known?.saidAt ?? iat),
        isReleased: entry.released_epoch !== null || known?.isReleased === true,
      });
      digests.set(entry.epoch, (digests.get(entry.epoch) ?? new Set()).add(entry.digest));
      if (entry.releases !== null) releases.add(entry.releases);
    }
  }
  // Where two ledgers had different entries at one epoch, nobody can say which of them was released: neither.
  const isReleased = ({ epoch }: LedgerEntry) => releases.has(epoch) && digests.get(epoch)?.size === 1;
  return [...entries.values()]
    .filter(({ releases: released }) => released === null)
    .map((entry) => ({ ...entry, isReleased: entry.isReleased || isReleased(entry) }))
    .sort((one, other) => one.generation - other.generation || one.epoch - other.epoch);
}
