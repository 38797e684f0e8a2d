/** Rotation that somebody asks for, on schedule or not. Asking twice, or twice at once, rotates once. */
import { keepUpRing, MAX_ROUNDS, takeStep } from './keep-up-ring.ts';
import { KeyRingError } from './key-ring-error.ts';
import { requireOpen } from './open-ring.ts';
import { currentGeneration, planRotation, type RotationDemand, type RotationStep } from './plan-rotation.ts';
import type { RingSnapshot } from './signing-key-store.ts';
import type { StoredRing } from './stored-ring.ts';

/**
 * Makes the next key, published now and active after the publication lead. With `immediately` it is active at
 * once, or the one that waits already is; verifiers with a cached JWKS then notice it by its unknown `kid`, and
 * its predecessor may still sign for OVERLAP_SECONDS. While a rotation is under way another one adds no key.
 *
 * @throws {KeyRingError} when a key cannot be opened
 */
export async function rotateRing(
  ring: StoredRing,
  { actor, ...demand }: RotationDemand & { actor: string },
): Promise<RingSnapshot> {
  let before: number | null = null;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const snapshot = await ring.store.readRing();
    requireOpen(ring, snapshot);
    const generation = currentGeneration(snapshot.keys, snapshot.nowMilliseconds, demand.purpose);
    before ??= generation;
    const step = generation > before ? undefined : demandedStep(ring, snapshot, demand);
    if (step === undefined) return snapshot;
    if (await takeStep(ring, step, actor)) return keepUpRing(ring);
  }
  throw new KeyRingError('The ring kept changing while it was to be rotated. Look at it: mayfly keys list');
}

/**
 * For a compromised key: it signs nothing more, leaves the JWKS and loses its secret, for good. If it was the one
 * that signs, a successor signs at once. What it signed stops verifying when verifiers read the JWKS again.
 *
 * @returns false when it was revoked before, or is unknown
 */
export async function retireKeyNow(
  ring: StoredRing,
  { kid, actor }: { kid: string; actor: string },
): Promise<boolean> {
  const revoked = await ring.store.revoke(kid, actor);
  await keepUpRing(ring);
  return revoked;
}

function demandedStep(
  { policy }: StoredRing,
  { keys, nowMilliseconds }: RingSnapshot,
  demand: RotationDemand,
): RotationStep | undefined {
  return planRotation(keys, nowMilliseconds, policy, demand).find(
    ({ step, purpose }) => step !== 'erase' && purpose === demand.purpose,
  );
}
