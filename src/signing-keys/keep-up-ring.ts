/**
 * Takes the steps that are due. Every broker runs this on every poll: the database lets exactly one of them take
 * each step, and whoever was too late reads what the other one did.
 */
import { tailMilliseconds } from './key-state.ts';
import { planRotation, type RotationStep } from './plan-rotation.ts';
import { sealKey } from './sealed-key.ts';
import { algorithmFor, generateKey } from './signing-key.ts';
import type { RingSnapshot } from './signing-key-store.ts';
import { keysInUse, type StoredRing } from './stored-ring.ts';

/** One round does all that is due and the next one finds nothing; races with other brokers add a few. */
export const MAX_ROUNDS = 8;

/** The actor in the audit log when a broker does what its schedule says. */
const SCHEDULE = 'mayfly:schedule';

/** @returns the ring as it is afterwards */
export async function keepUpRing(ring: StoredRing): Promise<RingSnapshot> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const snapshot = await ring.store.readRing();
    const steps = dueSteps(ring, snapshot);
    if (steps.length === 0) return snapshot;
    for (const step of steps) await takeStep(ring, step, SCHEDULE);
  }
  return ring.store.readRing();
}

/** @returns false when somebody else took the step, or made it unnecessary */
export function takeStep(ring: StoredRing, step: RotationStep, actor: string): Promise<boolean> {
  const { store, keks, policy } = ring;
  const tailSeconds = tailMilliseconds(policy.tokenLifetimeSeconds) / 1000;
  if (step.step === 'hasten') return store.hasten(step.kid, actor);
  if (step.step === 'erase') return store.erase({ kid: step.kid, tailSeconds, actor });
  const { purpose, generation, leadSeconds, notBeforeMilliseconds } = step;
  const material = generateKey(purpose);
  const identity = { kid: material.kid, purpose, algorithm: algorithmFor(purpose), generation };
  const key = sealKey(material, identity, keks.current);
  return store.add({ key, leadSeconds, notBeforeMilliseconds, actor });
}

/**
 * A broker that lacks the KEK of some key makes no new ones: the others may in turn lack its KEK, and would not
 * publish what it signs with.
 */
function dueSteps({ keks, policy }: StoredRing, snapshot: RingSnapshot): RotationStep[] {
  const steps = planRotation(snapshot.keys, snapshot.nowMilliseconds, policy);
  const mayCreate = keysInUse(snapshot, policy).every((key) => keks.byFingerprint.has(key.sealedBy));
  return steps.filter(({ step }) => step !== 'create' || mayCreate);
}
