/**
 * What is known of a request by now. Whoever finds something out writes it down here, so that a refusal that comes
 * later says it, wherever it comes from. Nothing of this decides anything.
 */
export type Known = {
  /** Who asks, once that was proved: by an assertion, or by the key of a token. */
  actor?: string;
  /** Which of the client's keys signed. */
  clientKid?: string;
  /** Who it says it is, as long as nothing proves it: whoever holds a token need not have its key. */
  claimedClient?: string;
  /** The token that was presented: one that mayfly signed, whoever sent it. */
  tokenId?: string;
  sessionId?: string;
  /** Thumbprint of the key of which possession was shown. */
  jkt?: string;
  /** Under which its proof is marked as used: a hash. */
  proof?: string;
  /** What was asked for, as it was asked for. */
  asked?: { actions: readonly string[]; resource: string | undefined };
  /** Of the ledger, where the database decided. */
  epoch?: number;
};
