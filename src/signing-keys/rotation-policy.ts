/** How often keys change, and the bounds within which the promises of the ring hold. */
import { KeyRingError } from './key-ring-error.ts';
import { OVERLAP_SECONDS } from './key-state.ts';

export type RotationPolicy = {
  /** A key signs this long before its successor takes over. */
  rotationSeconds: number;
  /** A key is published at least this long before it signs, so that every cached JWKS has it. */
  publicationLeadSeconds: number;
  /** The longest life of a token. */
  tokenLifetimeSeconds: number;
};

export const DEFAULT_ROTATION_POLICY: RotationPolicy = {
  rotationSeconds: 86_400,
  publicationLeadSeconds: 900,
  tokenLifetimeSeconds: 900,
};

/** How long a verifier may keep its copy of the JWKS. A key signs only after every copy without it is too old. */
export const JWKS_MAX_AGE_SECONDS = 300;

/** How often a broker reads the ring again. */
export const POLL_SECONDS = 5;

/** A broker whose copy of the ring is older signs nothing. Below OVERLAP_SECONDS, see there. */
export const MAX_COPY_AGE_SECONDS = 30;

const MIN_PUBLICATION_LEAD_SECONDS = JWKS_MAX_AGE_SECONDS + MAX_COPY_AGE_SECONDS;
const MAX_ROTATION_SECONDS = 90 * 86_400;
const TOKEN_LIFETIME_SECONDS = { min: 60, max: 900 };

/** @throws {KeyRingError} naming every value that is out of bounds */
export function checkRotationPolicy(policy: RotationPolicy): RotationPolicy {
  const { rotationSeconds, publicationLeadSeconds, tokenLifetimeSeconds } = policy;
  const mistakes = [
    outOfBounds('publicationLeadSeconds', publicationLeadSeconds, {
      min: MIN_PUBLICATION_LEAD_SECONDS,
      max: MAX_ROTATION_SECONDS / 2,
    }),
    outOfBounds('rotationSeconds', rotationSeconds, {
      min: publicationLeadSeconds + 2 * OVERLAP_SECONDS,
      max: MAX_ROTATION_SECONDS,
    }),
    outOfBounds('tokenLifetimeSeconds', tokenLifetimeSeconds, TOKEN_LIFETIME_SECONDS),
  ].filter((mistake) => mistake !== null);
  if (mistakes.length > 0) throw new KeyRingError(`Rotation of signing keys: ${mistakes.join('; ')}.`);
  return policy;
}

function outOfBounds(name: string, value: number, { min, max }: { min: number; max: number }): string | null {
  if (Number.isInteger(value) && value >= min && value <= max) return null;
  return `${name} has to be a whole number from ${min} to ${max}, and is ${value}`;
}
