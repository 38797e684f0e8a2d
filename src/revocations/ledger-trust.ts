/**
 * Is this database the one that the ledger was written in, and has it forgotten nothing (L25)? A restored backup, a
 * copy, a promoted standby that was behind: each would let what was revoked live again, and give epochs that are out
 * in the world a second meaning. Nobody but a person can know what was lost, so a broker that notices serves nothing
 * until an operator has moved the head.
 *
 * What is looked at: the identity of the cluster and the timeline of its log, against what the head row says; and the
 * head itself, which never goes back while this broker lives. What a *verifier* claims to have seen is an alarm and
 * no more: else one resource server could stop the deployment.
 */
import type { Log } from '../errors/log.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';

export type ObservedHead = {
  epoch: number;
  generation: number;
  /** base64url. */
  digest: string;
  floor: number;
  /** False when cluster or timeline are not those in which the ledger goes on. */
  same: boolean;
  /** NumericDate with a fraction: when somebody last said that the ledger goes on in this database; null if nobody had to. */
  movedAt: number | null;
};

/** `replaced`: another cluster or timeline. `rolled_back`, `forked`: this broker has seen another head here. */
export type Distrust = 'replaced' | 'rolled_back' | 'forked';

/** Also what verifiers claim: `ahead` of the head, or another digest at an epoch (`differs`). */
export type LedgerAlarm = Distrust | 'ahead' | 'differs';

export type LedgerTrust = {
  /**
   * @param head as it was read; readings have to be given in the order of their snapshots
   * @returns whether the ledger may be believed
   */
  observe(head: ObservedHead): boolean;
  /** A new connection found itself elsewhere. */
  distrust(because: Distrust): void;
  /** What somebody outside claims, which cannot be believed as it stands. */
  hear(alarm: LedgerAlarm, details: object): void;
  /** Null while all is well. */
  distrusted(): Distrust | null;
  /** @throws {Refusal} `database_replaced` */
  require(): void;
};

const WHAT: Readonly<Record<Distrust, string>> = {
  replaced: 'The database is not the one that the ledger was written in',
  rolled_back: 'The ledger is shorter than it was',
  forked: 'The ledger says something else than it said',
};

export function describeDistrust(because: Distrust): string {
  return `${WHAT[because]}; nothing is served until \`mayfly ledger move-head\``;
}

/** Every verifier says the same again each second. */
const REPETITION_MILLISECONDS = 60_000;

export function createLedgerTrust({
  log,
  onAlarm,
  clock,
}: {
  log: Log;
  onAlarm: (alarm: LedgerAlarm) => void;
  clock: Clock;
}): LedgerTrust {
  const toldAt = new Map<LedgerAlarm, number>();
  let seen: ObservedHead | null = null;
  let distrusted: Distrust | null = null;

  function distrust(because: Distrust, details: object = {}): void {
    if (distrusted === because) return;
    distrusted = because;
    onAlarm(because);
    log.error({ ...details, because }, `${describeDistrust(because)}.`);
  }

  return {
    observe(head) {
      const because = reasonToDistrust({ seen, distrusted }, head);
      if (because !== null) {
        distrust(because, { seen, found: head });
        return false;
      }
      if (distrusted !== null) log.warn({ head }, 'The ledger is believed again.');
      distrusted = null;
      seen = head;
      return true;
    },
    distrust,
    hear(alarm, details) {
      onAlarm(alarm);
      const now = clock.monotonicMilliseconds();
      if (now - (toldAt.get(alarm) ?? Number.NEGATIVE_INFINITY) < REPETITION_MILLISECONDS) return;
      toldAt.set(alarm, now);
      log.warn(
        { ...details, alarm },
        'somebody knows another ledger than this one: was the database restored?',
      );
    },
    distrusted: () => distrusted,
    require() {
      if (distrusted !== null)
        refuse('database_replaced', { hint: 'An operator has to look at the database.' });
    },
  };
}

function reasonToDistrust(
  { seen, distrusted }: { seen: ObservedHead | null; distrusted: Distrust | null },
  head: ObservedHead,
): Distrust | null {
  if (!head.same) return 'replaced';
  if (seen === null || head.generation > seen.generation) return null; // somebody has moved the head
  if (head.generation < seen.generation || head.epoch < seen.epoch) return 'rolled_back';
  if (head.epoch === seen.epoch && head.digest !== seen.digest) return 'forked';
  return distrusted === 'replaced' ? null : distrusted; // what was lost does not come back by growing again
}
