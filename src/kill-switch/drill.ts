/** What is known of a drill of the kill switch. */
import type { AccessTokenClaims } from '../tokens/access-token.ts';

/**
 * Who has not renewed for that long is not asked: three renewals as verifiers make them unless they are told otherwise,
 * and a lease for what is HIGH, so it decides nothing of that any more. Less than the conductor's patience, so that one
 * that dies while it is asked is known to be dead before the drill is judged.
 */
export const PRESENT_SECONDS = 3;

/** That many drills in a row have to miss a resource before anything follows from it: one instance that restarts is none. */
export const MISSES_THAT_COUNT = 3;

export const NO_NEWS: DrillNews = Object.freeze({
  canaries: [],
  last: null,
  goodAgeSeconds: null,
  missedInARow: [],
  latencySeconds: null,
});

export type Canary = { id: string; resource: string; kid: string; claims: AccessTokenClaims };

export type DrillVerifier = {
  instance: string;
  resource: string;
  acceptedAt: Date | null;
  refusedAt: Date | null;
  /** It did not renew its lease when the drill began, so it was not asked. */
  absent: boolean;
  /** It does not renew its lease, and decides nothing from then on (L15, L20). */
  stopsAt: Date | null;
  /** When it decided nothing any more: it left, or its lease ended, before it had said all that it was asked. */
  stoppedAt: Date | null;
};

/** Of the verifiers of one resource that renew their leases: how many did not do what they had to. */
export type DrillTally = {
  resource: string;
  /** Has not accepted its canary. */
  deaf: number;
  /** Accepted it, and has not refused it. */
  late: number;
};

export type DrillResult = 'passed' | 'failed' | 'held';

export type Drill = {
  id: string;
  startedAt: Date;
  startedBy: string;
  epoch: number | null;
  revokedAt: Date | null;
  finishedAt: Date | null;
  result: DrillResult | null;
  because: string | null;
  verifiers: DrillVerifier[];
  /** Once it is over: audiences of which no verifier was there to be asked, or stayed until the end. */
  untested: string[];
};

/** What brokers look at again and again. */
export type DrillNews = {
  canaries: Canary[];
  /** The newest that has ended. */
  last: { id: string; result: DrillResult; ageSeconds: number } | null;
  /** Since the newest that was not failed ended; null when there is none. */
  goodAgeSeconds: number | null;
  /** What each of the last {@link MISSES_THAT_COUNT} drills missed, audiences; null is everything. */
  missedInARow: string[] | null;
  /** Of the newest that passed with verifiers: from the commit until the last of them was heard of. */
  latencySeconds: number | null;
};
