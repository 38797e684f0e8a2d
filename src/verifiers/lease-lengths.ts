/** How long a verifier may decide without asking again, by how sensitive the action is (L15). */
import type { Sensitivity } from '../revocations/ledger-message.ts';

export const LEASE_SECONDS: Readonly<Record<Sensitivity, number>> = Object.freeze({
  LOW: 300,
  MED: 30,
  HIGH: 3,
});

/** After that long nobody holds a lease that was granted before. */
export const LONGEST_LEASE_SECONDS = Math.max(...Object.values(LEASE_SECONDS));

/** What a verifier of these actions may hold at most. */
export function longestLeaseSeconds(sensitivities: readonly Sensitivity[]): number {
  return Math.max(...sensitivities.map((sensitivity) => LEASE_SECONDS[sensitivity]));
}
