/**
 * Leases. A verifier says what it has applied; the answer says what it lacks, and with that how long it may go on
 * deciding by itself. The order is the whole point (L14), and it is that of `grant`:
 *
 *   1. its row is committed: whoever revokes from here on finds it among those that have to acknowledge
 *   2. only then head and entries are read, in a statement of their own, on the primary
 *   3. the answer is signed, for this question alone
 *
 * A revocation that commits after 1 counts this verifier and waits for it. One that committed before it lists whom
 * to wait for after its commit; if it missed this row, it committed before 2 began, and is in the answer.
 *
 * Many questions share a batch; each was asked before its reading began, so each could have had that reading alone.
 */

import { createLanes, type LanesOptions } from '../bounds/lanes.ts';
import type { Resource } from '../catalogue/catalogue.ts';
import { Refusal } from '../errors/refusal.ts';
import type { LedgerPage } from '../revocations/ledger-entry.ts';
import type { PageQuestion } from '../revocations/ledger-store.ts';
import type { LedgerTrust, ObservedHead } from '../revocations/ledger-trust.ts';
import type { Clock } from '../time/clock.ts';
import { type ChosenPage, choosePages } from './choose-pages.ts';
import { foldAttendances } from './fold-attendances.ts';
import type { ReceivedQuestion } from './question.ts';
import type { VerifierStore } from './verifier-store.ts';

export type GrantedLease = { question: ReceivedQuestion['question']; resource: Resource; page: LedgerPage };

export type LeaseRenewals = {
  /**
   * Grants a lease: the verifier's row is committed, and the page was read afterwards.
   * @throws {Refusal} `verifier_refused` when the instance has closed or is of another resource; `rate_limited` when
   *   its resource asks for too many different pages at once; 503
   */
  renew(asked: ReceivedQuestion): Promise<GrantedLease>;
  idle(): Promise<void>;
};

type Admitted = { asked: ReceivedQuestion; page: ChosenPage };

const MAX_BATCH = 512;
const MAX_WAITING = 8_192;

/** A statement for few costs a broker as much as one for many; nobody notices so short a wait. */
const BATCH_MILLISECONDS = 20;

/** @returns resolves at once when there was no batch lately, and else that long after the last one began */
export function createPace(clock: Clock, everyMilliseconds = BATCH_MILLISECONDS): () => Promise<void> {
  let beganAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const wait = beganAt + everyMilliseconds - clock.monotonicMilliseconds();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    beganAt = clock.monotonicMilliseconds();
  };
}

export function createLeaseRenewals(options: {
  store: VerifierStore;
  /** One page for each question, all read in one snapshot that begins after the call. */
  readPages: (questions: readonly PageQuestion[]) => Promise<LedgerPage[]>;
  trust: Pick<LedgerTrust, 'require' | 'hear'>;
  /** The head as it was last read. */
  head: () => ObservedHead | null;
  /** Waited for before each batch, so that more questions come together. */
  gather?: LanesOptions<unknown, unknown>['gather'];
}): LeaseRenewals {
  const { store, readPages, trust, head, gather } = options;

  /** One reading for all: what verifiers lack is mostly the same, nothing. */
  async function readFor(chosen: readonly ChosenPage[]): Promise<Map<string, LedgerPage>> {
    const wanted = new Map(chosen.map(({ name, question }) => [name, question]));
    const pages = await readPages([...wanted.values()]);
    return new Map([...wanted.keys()].flatMap((name, index) => (pages[index] ? [[name, pages[index]]] : [])));
  }

  async function grant(chosen: readonly Admitted[]): Promise<PromiseSettledResult<GrantedLease>[]> {
    const { attendances, attendanceOf } = foldAttendances(chosen.map(({ asked }) => asked));
    const registered = await store.register(attendances);
    const pages = await readFor(chosen.map(({ page }) => page));
    trust.require();
    return chosen.map(({ asked, page: { name } }) => {
      const index = attendanceOf(asked);
      const state = index === undefined ? undefined : registered[index];
      const page = pages.get(name);
      if (state === undefined || !state.own) return rejected('verifier_of_another_resource');
      if (!state.open) return rejected('verifier_closed');
      if (state.doubt !== null) trust.hear(state.doubt, { resource: asked.resource.audience });
      if (page === undefined) throw new Error('a question about the ledger was left without a page');
      return { status: 'fulfilled', value: { ...asked, page } };
    });
  }

  async function runBatch(asked: readonly ReceivedQuestion[]): Promise<PromiseSettledResult<GrantedLease>[]> {
    trust.require();
    const pages = choosePages(asked, head());
    const chosen = asked.flatMap((each, index) => {
      const page = pages[index];
      return page == null ? [] : [{ asked: each, page }];
    });
    const granted = (chosen.length === 0 ? [] : await grant(chosen)).values();
    return pages.map((page) => (page === null ? PUT_OFF : (granted.next().value ?? PUT_OFF)));
  }

  const lanes = createLanes<ReceivedQuestion, GrantedLease>({
    lanes: 1,
    maxBatch: MAX_BATCH,
    maxWaiting: MAX_WAITING,
    ...(gather === undefined ? {} : { gather }),
    run: runBatch,
  });
  return { renew: lanes.submit, idle: lanes.idle };
}

function rejected(reason: 'verifier_of_another_resource' | 'verifier_closed'): PromiseRejectedResult {
  const hint = 'Go on with a new instance: createVerifier() makes one.';
  return { status: 'rejected', reason: new Refusal(reason, { hint }) };
}

/** Nothing was committed for it: it was granted no lease. */
const PUT_OFF: PromiseRejectedResult = {
  status: 'rejected',
  reason: new Refusal('client_rate', {
    hint: 'The instances of this resource ask for too many different parts of the ledger at once.',
  }),
};
