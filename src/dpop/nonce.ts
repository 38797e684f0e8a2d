/**
 * Server nonces for DPoP (RFC 9449 §8) that nobody stores: HMAC of the running time step under a secret that all
 * brokers share. So every replica accepts what another one gave out, a restart loses nothing, and a proof's age
 * is told by our clock and not by the client's (§11.1).
 */
import { createHmac, type KeyObject } from 'node:crypto';
import { type Clock, numericDate } from '../time/clock.ts';

export type NonceSecrets = { current: KeyObject; previous?: KeyObject };

export type Nonces = {
  /** The nonce to hand out now. */
  current(): string;
  /** Seconds since 1970 at which the step of this nonce began, or null when it is not one of the recent ones. */
  issuedAt(nonce: string): number | null;
};

/** A nonce is good for the rest of its step and the whole next one: 30 to 60 seconds. */
export const NONCE_STEP_SECONDS = 30;

/** 128 bits. */
const NONCE_BYTES = 16;

/** The next step too: a replica whose clock runs a little ahead has handed it out. */
const ACCEPTED_STEPS = [0, -1, 1];

type Step = {
  step: number;
  current: KeyObject;
  previous: KeyObject | undefined;
  /** Nonce to step. */
  accepted: ReadonlyMap<string, number>;
  value: string;
};

export function createNonces({ secrets, clock }: { secrets: () => NonceSecrets; clock: Clock }): Nonces {
  let cached: Step | null = null;

  function recent(): Step {
    const step = Math.floor(numericDate(clock) / NONCE_STEP_SECONDS);
    const { current, previous } = secrets();
    if (cached?.step === step && cached.current === current && cached.previous === previous) return cached;
    const accepted = new Map<string, number>();
    for (const secret of previous === undefined ? [current] : [previous, current]) {
      for (const offset of ACCEPTED_STEPS) accepted.set(nonceOf(secret, step + offset), step + offset);
    }
    cached = { step, current, previous, accepted, value: nonceOf(current, step) };
    return cached;
  }

  return {
    current: () => recent().value,
    issuedAt(nonce) {
      const step = recent().accepted.get(nonce);
      return step === undefined ? null : step * NONCE_STEP_SECONDS;
    },
  };
}

function nonceOf(secret: KeyObject, step: number): string {
  const mac = createHmac('sha256', secret).update(`mayfly dpop nonce\0${step}`).digest();
  return mac.subarray(0, NONCE_BYTES).toString('base64url');
}
