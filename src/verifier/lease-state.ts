/**
 * Whether a verifier may decide, and how (ledger.md L13–L17): pure, with every clock reading, nonce and message
 * handed in, so that a test can put any schedule of messages and clocks to it.
 *
 * It asks; the answer says what it lacked, and for how long it may go on without asking again. That lease runs from
 * the moment of asking: whatever was revoked before it is in the answer, and whatever is revoked later waits at most
 * that long. So no delay, repetition or reordering of messages stretches it. Everything that is no answer to a
 * question of its own is only news, never a reason to go on.
 */
import type { LedgerPage } from '../revocations/ledger-entry.ts';
import type { Lease, Sensitivity } from '../revocations/ledger-message.ts';
import type { Revocable } from '../revocations/rule.ts';
import { type Alarm, createKnownLedger, type Head, type Position, type Taken } from './known-ledger.ts';
import { elapsedMilliseconds, type Moment } from './moment.ts';

export type LeaseAnswer = Pick<Lease, 'instance' | 'nonce' | 'iat' | 'page' | 'leases'> & {
  /** `kid` of the ledger key. */
  signedBy: string;
};

export type Decision =
  | 'granted'
  | 'verifier_closed'
  | Alarm
  | 'clock_differs'
  | 'lease_missing'
  | 'lease_expired'
  | 'token_time'
  | 'token_revoked';

/**
 * `unasked`: nobody asked that, or it was answered before. `broker_behind`: it reads a database that others have left,
 * since a newer generation was known when it was asked.
 */
export type Heard = Taken | 'unasked' | 'ledger_rolled_back' | 'broker_behind' | 'clock_differs';

export type LeaseState = {
  /**
   * Notes that a question is handed to the HTTP client at this moment.
   * @param sensitivities what the question declares; no lease is longer than the longest of theirs
   * @returns what the question says of the copy
   */
  ask(question: {
    nonce: string;
    sensitivities: readonly Sensitivity[];
    at: Moment;
  }): Position & { digest: string | null };
  answer(answer: LeaseAnswer, at: Moment): Heard;
  /** A page that came otherwise. @param signedBy `kid` of the ledger key */
  take(page: LedgerPage, signedBy: string): Taken;
  /** @param exp of the token, NumericDate */
  decide(asked: { subject: Revocable; exp: number; sensitivity: Sensitivity }, at: Moment): Decision;
  /** `granted` when a token of this sensitivity could be. */
  readiness(sensitivity: Sensitivity, at: Moment): Decision;
  /** True once the ledger says that this signing key was revoked. */
  isRevokedKey(kid: string): boolean;
  position(): Position & { digest: string | null };
  missing(): number | null;
  alarm(): Alarm | null;
  /** Milliseconds for which a token of this sensitivity could still be let in, if nothing else is heard. */
  remaining(sensitivity: Sensitivity, at: Moment): number;
  /** From now on nothing is decided. */
  close(): void;
};

/** Its clock may be that far from the broker's: expired tokens, and what the ledger forgets, count on it (L5). */
export const MAX_CLOCK_DIFFERENCE_SECONDS = 60;

/** Longer ones are not granted (L15), and whoever says so is not believed further than that. */
const MAX_LEASE_SECONDS: Readonly<Record<Sensitivity, number>> = { LOW: 300, MED: 30, HIGH: 3 };

/** The oldest question is given up when more are under way. */
const MAX_QUESTIONS = 8;

type Asked = { order: number; at: Moment; seen: Position; sensitivities: readonly Sensitivity[] };
type Granted = {
  order: number;
  at: Moment;
  head: Head;
  signedBy: string;
  milliseconds: Record<Sensitivity, number>;
};

/** @param instance the id under which the questions are asked */
export function createLeaseState({ instance }: { instance: string }): LeaseState {
  const ledger = createKnownLedger();
  const asked = new Map<string, Asked>();
  let order = 0;
  let lease: Granted | null = null;
  /** Granted for a head that is not applied yet. */
  let waiting: Granted | null = null;
  let clockDiffers = false;
  let closed = false;

  /**
   * A lease counts once what it speaks of is applied (L15). One on a head that is not ours counts never, and one whose
   * key was revoked no longer: whoever has that key could have granted it, or have signed what the copy is made of.
   */
  function settle(): void {
    const isDoubted = ledger.isDoubted();
    if (lease !== null && (isDoubted || ledger.isRevokedKey(lease.signedBy))) lease = null;
    if (waiting !== null && ledger.isRevokedKey(waiting.signedBy)) waiting = null;
    const contained = waiting === null || isDoubted ? null : ledger.contains(waiting.head);
    if (waiting === null || contained === null) return;
    if (contained && waiting.order > (lease?.order ?? 0)) lease = waiting;
    waiting = null;
  }

  function take(page: LedgerPage, signedBy: string): Taken {
    const taken = ledger.take(page, signedBy);
    settle();
    return taken;
  }

  function readiness(sensitivity: Sensitivity, at: Moment): Decision {
    if (closed) return 'verifier_closed';
    const alarm = ledger.alarm();
    if (alarm !== null) return alarm;
    const holds = lease !== null && lease.head.generation === ledger.position().generation;
    if (lease === null || !holds) return clockDiffers ? 'clock_differs' : 'lease_missing';
    if (elapsedMilliseconds(lease.at, at) < lease.milliseconds[sensitivity]) return 'granted';
    return clockDiffers ? 'clock_differs' : 'lease_expired';
  }

  return {
    take,
    readiness,
    isRevokedKey: ledger.isRevokedKey,
    position: ledger.position,
    missing: ledger.missing,
    alarm: ledger.alarm,

    remaining(sensitivity, at) {
      if (lease === null || readiness(sensitivity, at) !== 'granted') return 0;
      return lease.milliseconds[sensitivity] - elapsedMilliseconds(lease.at, at);
    },

    ask({ nonce, sensitivities, at }) {
      for (const oldest of asked.keys()) {
        if (asked.size < MAX_QUESTIONS) break;
        asked.delete(oldest);
      }
      order += 1;
      asked.set(nonce, { order, at, seen: ledger.seen(), sensitivities });
      return ledger.position();
    },

    answer({ instance: addressee, nonce, iat, page, leases, signedBy }, at) {
      const question = addressee === instance ? asked.get(nonce) : undefined;
      if (question === undefined) return 'unasked';
      asked.delete(nonce); // good once
      const head = { generation: page.generation, ...page.head };
      // Only this proves it: who asked before the higher epoch was seen could have been answered before it (L17).
      if (head.generation === question.seen.generation && head.epoch < question.seen.epoch) {
        // Its generation ended while the answer was on its way: an alarm would stand against the one that ended it.
        if (head.generation < ledger.seen().generation) return 'broker_behind';
        ledger.raise('ledger_rolled_back');
        return 'ledger_rolled_back';
      }
      // A head of an older generation is some other database; it grants nothing, and no more is known of ours.
      if (head.generation < question.seen.generation) return 'broker_behind';
      clockDiffers = isFarFrom(iat, question.at, at);
      if (!clockDiffers && question.order > (waiting?.order ?? 0)) {
        const milliseconds = lengthsOf(leases, question.sensitivities);
        waiting = { order: question.order, at: question.at, head, signedBy, milliseconds };
      }
      const taken = take(page, signedBy);
      return clockDiffers ? 'clock_differs' : taken;
    },

    decide({ subject, exp, sensitivity }, at) {
      const first = readiness(sensitivity, at);
      if (first !== 'granted' || lease === null) return first;
      // On the clock of the lease: setting the wall clock back makes no token younger.
      if (exp * 1_000 <= lease.at.wall + elapsedMilliseconds(lease.at, at)) return 'token_time';
      return ledger.isDead(subject) ? 'token_revoked' : 'granted';
    },

    close() {
      closed = true;
    },
  };
}

/** Broker and verifier looked at their clocks between question and answer, the broker in whole seconds. */
function isFarFrom(brokerSeconds: number, asked: Moment, answered: Moment): boolean {
  const earliest = asked.wall / 1_000 - MAX_CLOCK_DIFFERENCE_SECONDS - 1;
  const latest = (asked.wall + elapsedMilliseconds(asked, answered)) / 1_000 + MAX_CLOCK_DIFFERENCE_SECONDS;
  return brokerSeconds < earliest || brokerSeconds > latest;
}

/** The broker counts on nothing longer than the longest lease of what the question declared. */
function lengthsOf(leases: Lease['leases'], declared: readonly Sensitivity[]): Record<Sensitivity, number> {
  const longest = Math.max(0, ...declared.map((sensitivity) => leases[sensitivity]));
  const milliseconds = (sensitivity: Sensitivity) =>
    Math.min(leases[sensitivity], longest, MAX_LEASE_SECONDS[sensitivity]) * 1_000;
  return { LOW: milliseconds('LOW'), MED: milliseconds('MED'), HIGH: milliseconds('HIGH') };
}
