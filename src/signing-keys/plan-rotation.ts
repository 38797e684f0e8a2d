/**
 * What has to happen to the ring now: a pure rule from what is stored to the next steps. Every broker runs it on
 * every poll; a step names the generation or the key that it is about, and the database lets exactly one broker
 * take it. So the rule may be run by anybody, at any time, as often as they like.
 */
import {
  ALL_KEY_PURPOSES,
  isInUse,
  KEY_PURPOSES,
  type KeyPurpose,
  type KeyTimes,
  rotatesBySchedule,
  stateOf,
  wasRevokedBeforeUse,
  withRetirement,
} from './key-state.ts';
import type { RotationPolicy } from './rotation-policy.ts';

export type RotationStep =
  /** Active from `leadSeconds` after it is stored, or from `notBeforeMilliseconds`, whichever is later. */
  | {
      step: 'create';
      purpose: KeyPurpose;
      generation: number;
      leadSeconds: number;
      notBeforeMilliseconds: number | null;
    }
  /** A published key becomes active at once. */
  | { step: 'hasten'; purpose: KeyPurpose; kid: string }
  | { step: 'erase'; purpose: KeyPurpose; kid: string };

export type RotationDemand = { purpose: KeyPurpose; immediately: boolean };

/**
 * @param demand somebody asks for a rotation now; adds nothing while one is under way
 * @returns steps in the order in which to take them; none when all is well
 */
export function planRotation(
  keys: readonly KeyTimes[],
  nowMilliseconds: number,
  policy: RotationPolicy,
  demand?: RotationDemand,
): RotationStep[] {
  const isKept = (purpose: KeyPurpose) =>
    KEY_PURPOSES.includes(purpose) ||
    demand?.purpose === purpose ||
    keys.some((key) => key.purpose === purpose);
  return ALL_KEY_PURPOSES.filter(isKept).flatMap((purpose) => {
    const ofPurpose = keys.filter((key) => key.purpose === purpose);
    const wanted =
      demand?.purpose === purpose && !isMet(demand, ofPurpose, nowMilliseconds) ? demand : undefined;
    const succession = planSuccession(purpose, ofPurpose, nowMilliseconds, policy, wanted);
    const erasure = planErasure(ofPurpose, nowMilliseconds, policy);
    return succession === null ? erasure : [succession, ...erasure];
  });
}

function planSuccession(
  purpose: KeyPurpose,
  keys: readonly KeyTimes[],
  nowMilliseconds: number,
  policy: RotationPolicy,
  demand: RotationDemand | undefined,
): RotationStep | null {
  const current = currentKey(keys, nowMilliseconds);
  const next = nextKey(keys, nowMilliseconds);
  const create = { step: 'create', purpose, generation: highestGeneration(keys) + 1 } as const;
  if (current === undefined || demand?.immediately) {
    if (next !== undefined) return { step: 'hasten', purpose, kid: next.kid };
    return { ...create, leadSeconds: 0, notBeforeMilliseconds: null };
  }
  if (next !== undefined) return null;
  const leadSeconds = policy.publicationLeadSeconds;
  if (demand !== undefined) return { ...create, leadSeconds, notBeforeMilliseconds: null };
  if (!rotatesBySchedule(purpose)) return null;
  const dueMilliseconds = current.activeFromMilliseconds + policy.rotationSeconds * 1000;
  if (nowMilliseconds < dueMilliseconds - leadSeconds * 1000) return null;
  return { ...create, leadSeconds, notBeforeMilliseconds: dueMilliseconds };
}

/** The newest generation of a purpose that ever began to sign, 0 before the first: a rotation makes it grow. */
export function currentGeneration(
  keys: readonly KeyTimes[],
  nowMilliseconds: number,
  purpose: KeyPurpose,
): number {
  return (
    newestStarted(
      keys.filter((key) => key.purpose === purpose),
      nowMilliseconds,
    )?.generation ?? 0
  );
}

/**
 * While a predecessor overlaps, the ring has just rotated: asked again, or by two people at once, it does not
 * rotate again. So it grows by one key in OVERLAP_SECONDS at most, and a JWKS stays as small as verifiers expect.
 */
function isMet({ immediately }: RotationDemand, keys: readonly KeyTimes[], nowMilliseconds: number): boolean {
  const states = withRetirement(keys).map((key) => stateOf(key, nowMilliseconds, 0));
  return immediately && states.includes('overlapping');
}

/**
 * The newest key that ever began to sign, unless it was revoked: then nobody is current, also when the one
 * before it still overlaps, and a successor is needed at once.
 */
function currentKey(keys: readonly KeyTimes[], nowMilliseconds: number): KeyTimes | undefined {
  const newest = newestStarted(keys, nowMilliseconds);
  return newest?.revokedAtMilliseconds === null ? newest : undefined;
}

function newestStarted(keys: readonly KeyTimes[], nowMilliseconds: number): KeyTimes | undefined {
  return newestOf(
    keys.filter((key) => key.activeFromMilliseconds <= nowMilliseconds && !wasRevokedBeforeUse(key)),
  );
}

function nextKey(keys: readonly KeyTimes[], nowMilliseconds: number): KeyTimes | undefined {
  return newestOf(
    keys.filter((key) => key.activeFromMilliseconds > nowMilliseconds && key.revokedAtMilliseconds === null),
  );
}

function planErasure(
  keys: readonly KeyTimes[],
  nowMilliseconds: number,
  policy: RotationPolicy,
): RotationStep[] {
  return withRetirement(keys)
    .filter(({ isErased, speaks }) => !isErased && speaks !== true)
    .filter((key) => !isInUse(stateOf(key, nowMilliseconds, policy.tokenLifetimeSeconds)))
    .map(({ purpose, kid }) => ({ step: 'erase', purpose, kid }));
}

function newestOf(keys: readonly KeyTimes[]): KeyTimes | undefined {
  return keys.reduce<KeyTimes | undefined>(
    (newest, key) => (newest === undefined || key.generation > newest.generation ? key : newest),
    undefined,
  );
}

function highestGeneration(keys: readonly KeyTimes[]): number {
  return newestOf(keys)?.generation ?? 0;
}
