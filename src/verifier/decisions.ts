import type { Decision } from './lease-state.ts';
import { refuse } from './refusal.ts';

const HINTS: Partial<Record<Decision, string>> = {
  lease_missing: 'This server has not heard yet what is revoked.',
  lease_expired: 'This server has not heard lately what is revoked.',
  clock_differs: 'The clock of this server is not that of its broker.',
  ledger_forked: 'What is revoked was told in two ways; an operator has to look.',
  ledger_rolled_back: 'What is revoked was forgotten by whoever told it; an operator has to look.',
};

/** @throws {VerifierRefusal} for everything but `granted`: what the ledger says as 401, what it cannot say as 503 */
export function refuseDecision(decision: Decision): void {
  if (decision === 'granted') return;
  const hint = HINTS[decision];
  refuse(decision, hint === undefined ? {} : { hint });
}
