import { randomBytes } from 'node:crypto';
import { QUESTION_TYPE, type Question, signMessage } from '../revocations/ledger-message.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { ImportedKey } from './assertion.ts';
import type { Drills } from './drills.ts';
import type { KnownActions } from './known-actions.ts';
import type { LeaseState } from './lease-state.ts';
import { momentOf } from './moment.ts';

/**
 * One question of a verifier (L14), signed with the key of its resource: a fresh nonce, and what it has applied. Its
 * lease runs from now, so it has to be handed to the HTTP client at once.
 */
export type MakeQuestion = (options?: { leaving?: boolean }) => string;

const LIFETIME_SECONDS = 30;

/** 128 bits. */
const NONCE_BYTES = 16;

export function createQuestions(options: {
  instance: string;
  issuer: string;
  resource: string;
  key: ImportedKey;
  state: LeaseState;
  actions: KnownActions;
  drills: Drills;
  clock: Clock;
}): MakeQuestion {
  const { instance, issuer, resource, key, state, actions, drills, clock } = options;
  return ({ leaving = false } = {}) => {
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const sensitivities = [...actions.declared()];
    const outcomes = drills.outcomes();
    const { generation, epoch, digest } = state.ask({ nonce, sensitivities, at: momentOf(clock) });
    const iat = numericDate(clock);
    const question: Question = {
      iss: resource,
      sub: resource,
      aud: issuer,
      iat,
      exp: iat + LIFETIME_SECONDS,
      instance,
      nonce,
      generation,
      applied_epoch: epoch,
      digest,
      catalogue: actions.version(),
      sensitivities,
      ...(leaving ? { leaving } : {}),
      ...(outcomes.length === 0 ? {} : { drills: outcomes }),
    };
    return signMessage(QUESTION_TYPE, question, key);
  };
}
