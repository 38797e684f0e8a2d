/**
 * A drill, from beginning to end: a canary is minted for each resource, goes out with leases, is accepted by every
 * verifier that renews its lease, is revoked like any other session, and is refused by every one of them. So what the
 * kill switch stands on is known to work: minting, leases, the ledger, its feed, the verifiers' rule, their
 * acknowledgements.
 *
 * It writes down what it heard, and nothing is taken for granted: a verifier that goes on renewing, and does not accept
 * and then refuse, has failed the drill. One that does not renew, from the beginning (it is absent) or any more, is
 * stopped by the end of its lease as a receipt would say of it (L15, L20). The drill tells when; it shows nothing wrong,
 * and a resource that has no others is untested, which is said and is no failure.
 */
import type { Log } from '../errors/log.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { DrillResult, DrillTally } from './drill.ts';
import type { DrillStore } from './drill-store.ts';
import type { Minted } from './mint-canaries.ts';

export type Conductor = {
  /**
   * Runs a drill, or waits for the one that is under way.
   * @returns its id; null when one began too lately
   * @throws {Refusal} `catalogue_differs` while this broker's files are not the applied catalogue
   */
  conduct(options: { by: string; pauseSeconds: number }): Promise<string | null>;
};

/** A verifier asks about each second, and once more to say what it thinks. */
const PATIENCE_MILLISECONDS = 5_000;
const LOOK_MILLISECONDS = 100;

const OTHER_CATALOGUE = 'the scopes/ of this broker are not the applied catalogue';

/** `missed`: audiences of the resources where it failed; null is all of them, since the fault lies before verifiers. */
type Outcome = { result: DrillResult; because: string | null; missed: string[] | null };
const PASSED: Outcome = { result: 'passed', because: null, missed: [] };
const held = (because: string): Outcome => ({ result: 'held', because, missed: [] });
const failed = (because: string, missed: string[] | null = null): Outcome => ({
  result: 'failed',
  because,
  missed,
});

export function createConductor(options: {
  store: DrillStore;
  mint: (drillId: string) => Promise<Minted>;
  /** Whether the database's own rule lets the token live. */
  isAlive: (jti: string) => Promise<boolean>;
  /** False while this broker's files are not the applied catalogue: others mint, and run drills. */
  canMint: () => boolean;
  announce: () => void;
  /** The broker hands the canaries out from now on. */
  onPublished: () => Promise<void>;
  log: Log;
  clock: Clock;
}): Conductor {
  const { store, mint, isAlive, canMint, announce, onPublished, log, clock } = options;

  async function untilNone(drillId: string, of: 'accept' | 'refuse'): Promise<void> {
    const endsAt = clock.monotonicMilliseconds() + PATIENCE_MILLISECONDS;
    for (;;) {
      const outstanding = (await store.outstanding(drillId))[of];
      if (outstanding === 0 || clock.monotonicMilliseconds() > endsAt) return;
      await sleep(LOOK_MILLISECONDS);
    }
  }

  /** Who does not accept a canary while something is stopped may be right. */
  async function notAccepted(because: string, missed: string[] | null = null): Promise<Outcome> {
    return (await store.isHeld()) ? held('something is stopped') : failed(because, missed);
  }

  async function judge(tallies: readonly DrillTally[]): Promise<Outcome> {
    const late = tallies.filter((tally) => tally.late > 0);
    const deaf = tallies.filter((tally) => tally.deaf > 0);
    const missed = [...new Set([...late, ...deaf].map(({ resource }) => resource))].sort();
    // What was revoked has to be refused, whatever else is stopped.
    if (late.length > 0) return failed(`${inWords(sum(late, 'late'))} did not refuse the canary`, missed);
    if (deaf.length === 0) return PASSED;
    return notAccepted(`${inWords(sum(deaf, 'deaf'))} did not accept the canary`, missed);
  }

  async function run(drillId: string): Promise<Outcome> {
    const { sessionId, canaries } = await mint(drillId);
    const [first] = canaries;
    if (sessionId === null || first === undefined) return held('everything is stopped');
    await store.addCanaries(drillId, canaries);
    await store.publish(drillId, sessionId);
    await onPublished();
    if (!(await isAlive(first.claims.jti))) return notAccepted('the database calls a new canary dead');
    await untilNone(drillId, 'accept');
    const epoch = await store.revoke(drillId, {
      id: newIdentifier('rev', clock),
      auditId: newIdentifier('aud', clock),
    });
    if (epoch === null) return failed('it was over before its canary was revoked');
    announce();
    if (await isAlive(first.claims.jti)) return failed('the database calls a revoked canary alive');
    await untilNone(drillId, 'refuse');
    return judge(await store.tally(drillId));
  }

  async function finish(drillId: string): Promise<void> {
    const outcome = await run(drillId).catch((error: unknown): Outcome => {
      // Applied since this broker last looked.
      if (error instanceof Refusal && error.reason === 'catalogue_differs') return held(OTHER_CATALOGUE);
      log.error({ err: error, drill: drillId }, 'a drill of the kill switch could not be run');
      return failed('it could not be run: the log says why');
    });
    await store.finish(drillId, outcome);
    if (outcome.result === 'failed') {
      log.error({ drill: drillId, because: outcome.because }, 'a drill of the kill switch failed');
    }
  }

  async function untilOver(drillId: string): Promise<void> {
    const endsAt = clock.monotonicMilliseconds() + 2 * PATIENCE_MILLISECONDS;
    while (!(await store.outstanding(drillId)).over && clock.monotonicMilliseconds() < endsAt) {
      await sleep(LOOK_MILLISECONDS);
    }
  }

  return {
    async conduct({ by, pauseSeconds }) {
      if (!canMint()) refuse('catalogue_differs');
      const id = newIdentifier('drl', clock);
      const current = await store.start({ id, by, pauseSeconds });
      if (current === id) await finish(id);
      else if (current !== null) await untilOver(current);
      return current;
    },
  };
}

function sum(tallies: readonly DrillTally[], of: 'deaf' | 'late'): number {
  return tallies.reduce((total, tally) => total + tally[of], 0);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function inWords(verifiers: number): string {
  return verifiers === 1 ? '1 verifier' : `${verifiers} verifiers`;
}
