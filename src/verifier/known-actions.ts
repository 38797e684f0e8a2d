/**
 * How sensitive the actions of this resource are: the catalogue says, brokers tell, and nobody configures it here. An
 * action that is not known counts as HIGH, and until anything is known that is all there is.
 */
import type { Lease, Sensitivity } from '../revocations/ledger-message.ts';

export type KnownActions = {
  sensitivityOf(action: string): Sensitivity;
  /** Those that a question declares; the longest lease of theirs is what may be held. */
  declared(): readonly Sensitivity[];
  /** Of the catalogue that this was learned from; 0 before the first. */
  version(): number;
  /** @returns true when it was news */
  learn(catalogue: Lease['catalogue'], generation: number): boolean;
};

export function createKnownActions(): KnownActions {
  let version = 0;
  /** Versions are counted anew when the ledger begins a new generation on an older database. */
  let learnedIn = 0;
  let actions: ReadonlyMap<string, Sensitivity> = new Map();
  return {
    sensitivityOf: (action) => actions.get(action) ?? 'HIGH',
    declared: () => (actions.size === 0 ? ['HIGH'] : [...new Set(actions.values())]),
    version: () => version,
    learn(catalogue, generation) {
      if (catalogue === undefined || generation < learnedIn) return false;
      if (generation === learnedIn && catalogue.version <= version) return false;
      version = catalogue.version;
      learnedIn = generation;
      actions = new Map(Object.entries(catalogue.actions));
      return true;
    },
  };
}
