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
  /** NumericDate, 0 when nothing was: until then proofs may have been used and that was forgotten. */
  forgottenUntil(): number;
};

/** What is known of used proofs reaches back to `from`, NumericDate; `name` is another one each time that it was lost. */
export type ReplayMemory = { name: number; from: number };

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
  name: number;
  /** Nonce to step. */
  accepted: ReadonlyMap<string, number>;
  value: string;
};

/**
 * @param options.memory a nonce from before something was forgotten is none any more: who recorded a proof with it
 *   cannot use it again
 */
export function createNonces({
  secrets,
  memory = () => WHOLE_MEMORY,
  clock,
}: {
  secrets: () => NonceSecrets;
  memory?: () => ReplayMemory;
  clock: Clock;
}): Nonces {
  let cached: Step | null = null;

  function recent(): Step {
    const step = Math.floor(numericDate(clock) / NONCE_STEP_SECONDS);
    const { current, previous } = secrets();
    const { name } = memory();
    if (
      cached?.step === step &&
      cached.current === current &&
      cached.previous === previous &&
      cached.name === name
    )
      return cached;
    const accepted = new Map<string, number>();
    for (const secret of previous === undefined ? [current] : [previous, current]) {
      for (const offset of ACCEPTED_STEPS) accepted.set(nonceOf(secret, step + offset, name), step + offset);
    }
    cached = { step, current, previous, name, accepted, value: nonceOf(current, step, name) };
    return cached;
  }

  return {
    current: () => recent().value,
    issuedAt(nonce) {
      const step = recent().accepted.get(nonce);
      return step === undefined ? null : step * NONCE_STEP_SECONDS;
    },
    forgottenUntil: () => memory().from,
  };
}

const WHOLE_MEMORY: ReplayMemory = { name: 0, from: 0 };

function nonceOf(secret: KeyObject, step: number, name: number): string {
  const mac = createHmac('sha256', secret).update(`mayfly dpop nonce\0${step}\0${name}`).digest();
  return mac.subarray(0, NONCE_BYTES).toString('base64url');
}
