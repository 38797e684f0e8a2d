/**
 * Reads what brokers sign about the ledger. Whoever carried it needs no trust; the key does: a ledger key of this
 * issuer (L11), and none that the ledger itself calls revoked.
 */
import type { z } from 'zod';
import { decodeBase64url } from '../jws/base64url.ts';
import { verifySignature } from '../jws/compact-jws.ts';
import type { LedgerPage } from '../revocations/ledger-entry.ts';
import {
  LEASE_TYPE,
  LEDGER_PAGE_TYPE,
  type Lease,
  leaseMessage,
  ledgerPageMessage,
  readMessage,
} from '../revocations/ledger-message.ts';
import type { Evidence } from './evidence.ts';
import { isSignedAsHeard } from './heard-signatures.ts';
import type { KeySet } from './key-set.ts';
import { refuse } from './refusal.ts';
import type { SignedPage } from './snapshot-loading.ts';

export type MessageReader = {
  /** @throws {VerifierRefusal} `broker_answer_unusable`, or that the keys cannot be had */
  page(text: unknown): Promise<SignedPage>;
  lease(text: unknown): Promise<Lease & { signedBy: string }>;
};

const MAX_HEADER_LENGTH = 512;

export function createMessageReader(options: {
  issuer: string;
  keys: KeySet;
  isRevokedKey: (kid: string) => boolean;
  /** Is given everything that a broker signed. */
  evidence: Pick<Evidence, 'keep'>;
}): MessageReader {
  const { issuer, keys, isRevokedKey, evidence } = options;

  async function read<Payload extends { iss: string; page: LedgerPage }>(
    text: unknown,
    {
      isSigned = verifySignature,
      ...expected
    }: { typ: string; schema: z.ZodType<Payload>; isSigned?: typeof verifySignature },
  ): Promise<{ payload: Payload; signedBy: string }> {
    const kid = typeof text === 'string' ? kidOf(text) : null;
    const key = kid === null || isRevokedKey(kid) ? null : await keys.keyOf(kid);
    // Asked again: what revokes it may have been applied while the keys were fetched.
    const keyOf = (named: string) => (named === kid && !isRevokedKey(named) ? key : null);
    const payload = typeof text === 'string' ? readMessage(text, { ...expected, keyOf, isSigned }) : null;
    if (typeof text !== 'string' || kid === null || payload === null || payload.iss !== issuer) {
      return refuse('broker_answer_unusable', { hint: 'What the broker says of the ledger cannot be used.' });
    }
    evidence.keep(text, payload.page);
    return { payload, signedBy: kid };
  }

  return {
    async page(text) {
      const { payload, signedBy } = await read(text, {
        typ: LEDGER_PAGE_TYPE,
        schema: ledgerPageMessage,
        isSigned: isSignedAsHeard,
      });
      return { page: payload.page, signedBy };
    },
    async lease(text) {
      const { payload, signedBy } = await read(text, { typ: LEASE_TYPE, schema: leaseMessage });
      return { ...payload, signedBy };
    },
  };
}

/** Only to look the key up; the header is read again, strictly, with the signature. */
function kidOf(text: string): string | null {
  const end = text.indexOf('.');
  const bytes = end > 0 && end <= MAX_HEADER_LENGTH ? decodeBase64url(text.slice(0, end)) : null;
  try {
    const { kid } = JSON.parse(bytes?.toString('utf8') ?? '{}');
    return typeof kid === 'string' ? kid : null;
  } catch {
    return null;
  }
}
