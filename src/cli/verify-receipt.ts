/**
 * Whether a receipt is genuine, found out without asking anybody: a signature under one of the issuer's ledger keys,
 * the right kind of message, of the right issuer. What it states are moments; whether the last of them has passed is
 * for the reader's clock to say.
 */
import { JwkError, parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';
import { RECEIPT_TYPE, readMessage } from '../revocations/ledger-message.ts';
import { type Receipt, receiptSchema } from '../revocations/receipt.ts';
import { fail } from './failure.ts';
import { plainText } from './plain-text.ts';
import type { OfferedCitation } from './verify-citation.ts';

/** As many enforcement points as a receipt of the longest can name, a few members each. */
const MAX_RECEIPT_MEMBERS = 200_000;

/**
 * @param text a compact JWS, or JSON with one in `receipt`
 * @param jwks text of a JWK set: `/.well-known/mayfly-ledger-jwks.json`
 * @throws {CommandFailure}
 */
export function verifyReceipt(text: string, { jwks, issuer }: { jwks: string; issuer: string }): Receipt {
  const keys = keysOf(jwks);
  const receipt = readMessage(receiptIn(text), {
    typ: RECEIPT_TYPE,
    schema: receiptSchema,
    keyOf: (kid) => keys.get(kid) ?? null,
    maxMembers: MAX_RECEIPT_MEMBERS,
  });
  if (receipt === null) fail('verification', 'This is no receipt that one of these keys has signed.');
  if (receipt.iss !== issuer) {
    fail('verification', `This is a receipt of ${plainText(receipt.iss)}, and was to be one of ${issuer}.`);
  }
  return receipt;
}

/** The latest moment at which some enforcement point may still have decided without the entry. */
export function lastMomentOf({ committed_at, unlisted_stop_at, verifiers }: Receipt): string {
  const moments = verifiers.map(({ applied_at, stops_at }) => applied_at ?? stops_at);
  return [committed_at, unlisted_stop_at, ...moments]
    .filter((moment) => moment !== undefined)
    .reduce((latest, moment) => (moment > latest ? moment : latest));
}

/** What came beside the receipt; undefined where it came alone, null where the log has no place for its entry yet. */
export function citationIn(text: string): OfferedCitation | null | undefined {
  const { audit } = text.trim().startsWith('{') ? objectIn(text) : {};
  if (audit === undefined || audit === null) return audit;
  return typeof audit === 'object' ? audit : fail('verification', 'What is cited is no entry.');
}

function receiptIn(text: string): string {
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) return trimmed;
  const { receipt } = objectIn(trimmed);
  return typeof receipt === 'string' ? receipt : fail('verification', 'There is no "receipt" in this JSON.');
}

/** A key that cannot be read verifies nothing; the others still do. */
function keysOf(jwks: string): Map<string, VerificationKey> {
  const { keys } = objectIn(jwks);
  if (!Array.isArray(keys)) return fail('usage', 'The keys are no JWK set: a JSON object with "keys".');
  return new Map(keys.flatMap(keyIn));
}

function keyIn(jwk: { kid?: unknown } | null): [string, VerificationKey][] {
  try {
    return typeof jwk?.kid === 'string' ? [[jwk.kid, parseVerificationKey(jwk)]] : [];
  } catch (error) {
    if (error instanceof JwkError) return [];
    throw error;
  }
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // as whatever else is no object
  }
  return {};
}
