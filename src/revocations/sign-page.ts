import { type Clock, numericDate } from '../time/clock.ts';
import type { LedgerPage } from './ledger-entry.ts';
import { LEDGER_PAGE_TYPE, type MessageSigner, signMessage } from './ledger-message.ts';

/** A page and, once somebody wants to send it, its one signature for all who get it. */
export type SignedPage = { page: LedgerPage; text(): string };

export type PageSigner = (page: LedgerPage) => SignedPage;

export function createPageSigner(options: {
  issuer: string;
  /** Of ledger messages, never of tokens (L11). */
  signer: () => MessageSigner;
  clock: Clock;
}): PageSigner {
  const { issuer, signer, clock } = options;
  return (page) => {
    let text: string | undefined;
    return {
      page,
      text() {
        text ??= signMessage(LEDGER_PAGE_TYPE, { iss: issuer, iat: numericDate(clock), page }, signer());
        return text;
      },
    };
  };
}
