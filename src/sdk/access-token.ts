/**
 * A token that was minted, held so that it cannot be printed: the text is behind a getter that neither JSON nor a
 * spread nor an inspection of the object gets to.
 */
import { type AgentClock, since } from './agent-clock.ts';
import { giveUp } from './agent-error.ts';
import type { BrokerAnswer } from './broker-refusal.ts';
import { actionsOf } from './challenge.ts';

/** What a token is asked for. */
export type Wanted = {
  /** The audience, as the resource or the catalogue names it. Left out, the broker goes by the actions. */
  resource?: string | undefined;
  actions: readonly string[];
};

export type HeldToken = {
  text(): string;
  actions: readonly string[];
  sessionId: string | undefined;
  lifetimeMilliseconds: number;
  /** How much of its life is over, by whichever clock says more. */
  ageMilliseconds(): number;
  /** By the clock that never jumps, and may have stood still. */
  leastAgeMilliseconds(): number;
};

const TOKEN = /^[A-Za-z0-9\-._~+/]{1,16384}=*$/;
const MAX_LIFETIME_SECONDS = 86_400;

/**
 * Its life is counted from when it was asked for, which was before it began.
 * @throws {AgentError} `protocol` for an answer that is none, or whose token is bound to no key
 */
export function readToken({ json, askedAt }: BrokerAnswer, clock: AgentClock): HeldToken {
  const { access_token: text, token_type: type, expires_in: seconds, scope, session_id: id } = json;
  const isLife = typeof seconds === 'number' && seconds > 0 && seconds <= MAX_LIFETIME_SECONDS;
  if (typeof text !== 'string' || !TOKEN.test(text) || !isLife) {
    giveUp('protocol', 'What the broker answered is no token.');
  }
  // RFC 9449 §5: anything else is good in anybody's hands
  if (typeof type !== 'string' || type.toLowerCase() !== 'dpop') {
    giveUp('protocol', 'The broker gave out a token that is bound to no key.');
  }
  return {
    text: () => text,
    actions: actionsOf(scope),
    sessionId: typeof id === 'string' && /^[\w-]{1,64}$/.test(id) ? id : undefined,
    lifetimeMilliseconds: seconds * 1_000,
    ageMilliseconds: () => since(askedAt, clock),
    leastAgeMilliseconds: () => clock.monotonicMilliseconds() - askedAt.monotonic,
  };
}
