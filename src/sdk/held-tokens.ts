/**
 * The tokens of one session. Whoever asks gets the one that is held, while it is good; in the last part of its life,
 * at a moment left to chance, one caller sets off for the next one and nobody waits for it. Only when there is none
 * that is good everybody waits, for one and the same question to the broker.
 */

import type { HeldToken, Wanted } from './access-token.ts';
import { unlessAborted } from './agent-clock.ts';
import { AgentError } from './agent-error.ts';

export type HeldTokens = {
  /** @param options.leastMilliseconds of one that has less left, the next one is asked for now */
  get(
    wanted: Wanted,
    options?: { signal?: AbortSignal | undefined; leastMilliseconds?: number | undefined },
  ): Promise<HeldToken>;
  /** It was refused: it is not handed out again. One that took its place meanwhile is. */
  forget(token: HeldToken): void;
};

const MAX_KINDS = 256;
/** Shares of its life. */
const RENEWED_FROM = 0.7;
const RENEWED_BEFORE = 0.85;
/** What is under way when a token ends is refused. */
const LAST_MILLISECONDS = 2_000;
const LAST_SHARE = 0.2;
/** After a token could not be renewed ahead of its end. */
const TRY_AGAIN_SHARE = 0.05;

type Kind = {
  held?: HeldToken | undefined;
  flight?: Promise<HeldToken> | undefined;
  renewAtMilliseconds: number;
};

export function createHeldTokens({
  mint,
  random,
}: {
  mint: (wanted: Wanted) => Promise<HeldToken>;
  random: () => number;
}): HeldTokens {
  const kinds = new Map<string, Kind>();

  function kindOf(wanted: Wanted): Kind {
    const name = JSON.stringify([wanted.resource, ...wanted.actions.toSorted()]);
    const kind = kinds.get(name) ?? { renewAtMilliseconds: 0 };
    kinds.delete(name); // to the end: the first one is the one that was not asked for longest
    kinds.set(name, kind);
    const [oldest = name] = kinds.keys();
    if (kinds.size > MAX_KINDS) kinds.delete(oldest);
    return kind;
  }

  function fly(kind: Kind, wanted: Wanted): Promise<HeldToken> {
    kind.flight ??= mint(wanted)
      .then((token) => {
        kind.held = token;
        const share = RENEWED_FROM + random() * (RENEWED_BEFORE - RENEWED_FROM);
        kind.renewAtMilliseconds = token.lifetimeMilliseconds * share;
        return token;
      })
      .finally(() => {
        kind.flight = undefined;
      });
    return kind.flight;
  }

  /** A wall clock that was put right makes old what is not: when there is no other one, whoever is shown it decides. */
  function flyUnlessDoubtful(kind: Kind, wanted: Wanted): Promise<HeldToken> {
    const { held } = kind;
    return fly(kind, wanted).catch((error: unknown) => {
      if (held === undefined || held !== kind.held || !isAway(error)) throw error;
      if (isOver(held, held.leastAgeMilliseconds())) throw error;
      return held;
    });
  }

  /** The old one is good for a while, and whoever finds it dead is told what is wrong. */
  function renewAhead(kind: Kind, held: HeldToken, wanted: Wanted): void {
    if (kind.flight !== undefined || held.ageMilliseconds() < kind.renewAtMilliseconds) return;
    fly(kind, wanted).catch(() => {
      kind.renewAtMilliseconds =
        held.ageMilliseconds() + held.lifetimeMilliseconds * TRY_AGAIN_SHARE * (1 + random());
    });
  }

  return {
    async get(wanted, { signal, leastMilliseconds = 0 } = {}) {
      signal?.throwIfAborted();
      const kind = kindOf(wanted);
      const { held } = kind;
      if (held === undefined || isOver(held, held.ageMilliseconds()) || left(held) < leastMilliseconds) {
        return unlessAborted(flyUnlessDoubtful(kind, wanted), signal);
      }
      renewAhead(kind, held, wanted);
      return held;
    },
    forget(token) {
      for (const kind of kinds.values()) if (kind.held === token) kind.held = undefined;
    },
  };
}

function isOver({ lifetimeMilliseconds }: HeldToken, ageMilliseconds: number): boolean {
  const last = Math.min(LAST_MILLISECONDS, lifetimeMilliseconds * LAST_SHARE);
  return ageMilliseconds >= lifetimeMilliseconds - last;
}

function left({ lifetimeMilliseconds, ageMilliseconds }: HeldToken): number {
  return lifetimeMilliseconds - ageMilliseconds();
}

function isAway(error: unknown): boolean {
  return error instanceof AgentError && (error.code === 'unavailable' || error.code === 'throttled');
}
