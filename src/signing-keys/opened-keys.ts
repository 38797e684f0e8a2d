/**
 * The keys of one broker in memory: each opened once, and kept as the same object for as long as its row says the
 * same. A row that does not open is not used, and said once.
 */
import type { Log } from '../errors/log.ts';
import type { Keks } from './key-encryption-key.ts';
import { type KeyLife, withRetirement } from './key-state.ts';
import { openKey, type SealedKey } from './sealed-key.ts';
import type { KeyMaterial } from './signing-key.ts';
import type { StoredKey } from './signing-key-store.ts';

export type OpenedKey = KeyLife & { material: KeyMaterial };

/** What came of a row when it was last looked at. */
type Outcome = { row: SealedKey; material: KeyMaterial | null };

/** @returns a function from the rows of the ring to those that can be used, the newest generation first */
export function createKeyOpener({ keks, log }: { keks: Keks; log: Log }) {
  let known = new Map<string, Outcome>();

  function lookAt(row: SealedKey): Outcome {
    const before = known.get(row.kid);
    if (before !== undefined && isSameRow(before.row, row)) return before;
    const result = openKey(row, keks);
    const held = before !== undefined && isSameKey(before.row, row) ? before.material : null;
    if (result.opened) return { row, material: held ?? result.material };
    const { kid, purpose, sealedBy } = row;
    if (result.because === 'changed') {
      log.error(
        { kid, purpose },
        'A signing key is not used: its row is not what was sealed, somebody changed it.',
      );
      return { row, material: null };
    }
    log.warn(
      { kid, purpose, sealedBy, isHeld: held !== null },
      'A signing key is sealed by a key-encryption key that this broker does not have; what is in memory is kept. ' +
        'Give this broker that key, as MAYFLY_KEK or MAYFLY_KEK_PREVIOUS, and restart it.',
    );
    return { row, material: held };
  }

  return function openKeys(keys: readonly StoredKey[]): OpenedKey[] {
    const outcomes = new Map<string, Outcome>();
    const opened = withRetirement(keys).flatMap((key) => {
      if (key.sealedSecret === null) return [];
      const outcome = lookAt({ ...key, sealedSecret: key.sealedSecret });
      outcomes.set(key.kid, outcome);
      return outcome.material === null ? [] : [{ ...key, material: outcome.material }];
    });
    known = outcomes;
    return opened.sort((one, other) => other.generation - one.generation);
  };
}

function isSameRow(one: SealedKey, other: SealedKey): boolean {
  return (
    isSameKey(one, other) && one.sealedBy === other.sealedBy && one.sealedSecret.equals(other.sealedSecret)
  );
}

/** Everything that the seal binds, and the public key: what was opened under it is still this key's. */
function isSameKey(one: SealedKey, other: SealedKey): boolean {
  return (
    one.kid === other.kid &&
    one.purpose === other.purpose &&
    one.algorithm === other.algorithm &&
    one.generation === other.generation &&
    Buffer.compare(one.publicKey ?? Buffer.of(), other.publicKey ?? Buffer.of()) === 0
  );
}
