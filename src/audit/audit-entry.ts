/**
 * One line of the record: who asked for what, what was decided, by which rule. Never a token, a proof, an
 * assertion or a secret; names, numbers and identifiers only.
 */
import type { RefusalReason } from '../errors/refusal-reasons.ts';

export type AuditAction =
  | 'token.minted'
  | 'token.refused'
  | 'token.introspected'
  | 'token.revoked'
  | 'token.consumed'
  | 'proofs.spent'
  | 'operator.admitted'
  | 'aws.credentials_requested'
  | 'aws.credentials_issued'
  | 'ledger.read'
  | 'agent.read'
  | 'request.refused'
  | 'login.failed'
  | 'proof.challenged';

export type AuditEntry = {
  /** `aud_…`, ordered by time. */
  id: string;
  action: AuditAction;
  outcome: 'allowed' | 'refused';
  reason?: RefusalReason;
  requestId?: string;
  /** The client or operator that was authenticated; whoever was only claimed is in the details of a refusal. */
  actor?: string;
  sessionId?: string;
  tokenId?: string;
  /** How many identical refusals this line stands for. */
  repetitions?: number;
  details?: Readonly<Record<string, unknown>>;
};
