/**
 * The ring and its key-encryption keys: which keys open, putting them under another KEK, and the way out when a
 * KEK is lost. Changing the KEK with several brokers: give all of them the new one as MAYFLY_KEK_PREVIOUS beside
 * the old MAYFLY_KEK, then swap the two, then `mayfly keys reseal`, then drop the old one.
 */
import { keepUpRing } from './keep-up-ring.ts';
import type { Keks } from './key-encryption-key.ts';
import { KeyRingError } from './key-ring-error.ts';
import type { KeyPurpose } from './key-state.ts';
import { openKey, sealKey } from './sealed-key.ts';
import type { RingSnapshot } from './signing-key-store.ts';
import { keysInUse, type StoredRing } from './stored-ring.ts';

export type UnopenableKey = {
  kid: string;
  purpose: KeyPurpose;
  /** Fingerprint of the KEK that its row names. */
  sealedBy: string;
  because: 'kek_missing' | 'changed';
};

/** Keys in use that no configured KEK opens. */
export function findUnopenable({ keks, policy }: StoredRing, snapshot: RingSnapshot): UnopenableKey[] {
  return keysInUse(snapshot, policy).flatMap((key) => {
    const { kid, purpose, sealedBy } = key;
    const result = openKey(key, keks);
    return result.opened ? [] : [{ kid, purpose, sealedBy, because: result.because }];
  });
}

/** @throws {KeyRingError} that names the missing KEK and the way out, unless every key in use opens */
export function requireOpen(ring: StoredRing, snapshot: RingSnapshot): void {
  const unopenable = findUnopenable(ring, snapshot);
  if (unopenable.length > 0) throw new KeyRingError(explain(unopenable, ring.keks));
}

/** Seals with the current KEK what a previous one sealed. @returns how many keys that were */
export async function resealRing(ring: StoredRing, { actor }: { actor: string }): Promise<number> {
  const { store, keks, policy } = ring;
  let resealed = 0;
  for (const was of keysInUse(await store.readRing(), policy)) {
    const result = openKey(was, keks);
    if (was.sealedBy === keks.current.fingerprint || !result.opened) continue;
    const { kid, purpose, algorithm, generation } = was;
    const becomes = sealKey(result.material, { kid, purpose, algorithm, generation }, keks.current);
    if (await store.reseal({ was, becomes, actor })) resealed += 1;
  }
  return resealed;
}

/**
 * Revokes every key that no configured KEK opens and makes new ones. What the abandoned keys signed stops
 * verifying as soon as they have left the JWKS, which is at once.
 *
 * @returns the abandoned keys
 */
export async function abandonUnopenable(
  ring: StoredRing,
  { actor }: { actor: string },
): Promise<UnopenableKey[]> {
  const unopenable = findUnopenable(ring, await ring.store.readRing());
  for (const { kid } of unopenable) await ring.store.revoke(kid, actor);
  await keepUpRing(ring);
  return unopenable;
}

function explain(unopenable: readonly UnopenableKey[], keks: Keks): string {
  const missing = new Set(
    unopenable.filter((key) => key.because === 'kek_missing').map((key) => key.sealedBy),
  );
  const configured = [...keks.byFingerprint.keys()].join(', ');
  return [
    ...[...missing].map(
      (fingerprint) =>
        `Signing keys are sealed by the key-encryption key with the fingerprint ${fingerprint}, which is not ` +
        `configured (configured: ${configured}). Give it as MAYFLY_KEK or MAYFLY_KEK_PREVIOUS, or put its file back.`,
    ),
    ...unopenable
      .filter((key) => key.because === 'changed')
      .map(
        ({ purpose, kid }) => `The row of the ${purpose} key ${kid} is not what was sealed: it was changed.`,
      ),
    'If that cannot be undone, "mayfly keys abandon --yes" revokes these keys and makes new ones; tokens that ' +
      'they signed stop verifying.',
  ].join('\n');
}
