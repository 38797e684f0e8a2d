import type { Question } from '../revocations/ledger-message.ts';

export type DrillOutcome = NonNullable<Question['drills']>[number];

/** How the self-test of the kill switch reaches verifiers: canaries go out with leases, outcomes come with questions. */
export type Drills = {
  /** The canary tokens that a verifier of this resource is to judge now. Asked for every lease: cheap. */
  drillsFor(resource: string): readonly { id: string; token: string }[];
  /** What an instance says of them. Its row is committed. Never throws. */
  noteDrillOutcomes(heard: { instance: string; resource: string; outcomes: readonly DrillOutcome[] }): void;
};
