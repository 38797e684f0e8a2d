/**
 * Has every witness cosign the log as it grows: only the broker that keeps the log asks, each witness in its own time,
 * so that a slow one holds up neither the others nor the log itself, which does not wait for them but once: a broker
 * that begins to keep the log signs nothing before each witness has told what it saw last, since what it finds in the
 * tables may be an older copy of them. One that does not answer is waited for so long and no longer: it must not be
 * able to stop the log.
 *
 * What a witness says of another log is written down before anything else is signed (doubt-store.ts).
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { type Repeated, repeat } from '../time/repeat.ts';
import type { CosignatureStore } from './cosignature-store.ts';
import type { DoubtStore } from './doubt-store.ts';
import type { Hold } from './keep-log.ts';
import { type SignedHead, type Submission, submitCheckpoint } from './submit-checkpoint.ts';
import type { StoredTree } from './tree-store.ts';
import type { VerifierKey } from './verifier-key.ts';

export type Witness = { url: string; key: VerifierKey };

export type WitnessWatch = {
  /** Whether each has told what it saw, after this broker began to keep the log, or was waited for long enough. */
  haveSpoken(hold: Hold): boolean;
  /** The names of those that gave no answer that counts when they were asked last. */
  silent(): string[];
  close(): Promise<void>;
};

/** How long a witness that does not answer holds up the first head of a broker that begins to keep the log. */
export const HEARING_SECONDS = 30;

const ASK_MILLISECONDS = 1_000;
const MAX_PAUSE_MILLISECONDS = 60_000;

type State = {
  /** What it was asked for since; zero before the first time. */
  hold: number;
  hasSpoken: boolean;
  cosigned: number | null;
  failures: number;
  asksAgainAt: number;
  says: 'silent' | 'forked' | null;
};

const UNHEARD = { hasSpoken: false, cosigned: null, failures: 0, asksAgainAt: 0, says: null };

export function askWitnesses(options: {
  witnesses: readonly Witness[];
  /** Since when this broker is the one that keeps the log; null when it is not. */
  hold: () => Hold | null;
  store: CosignatureStore;
  doubts: DoubtStore;
  tree: Pick<StoredTree, 'consistency'>;
  /** What is shown as long as nothing was signed: every log begins with the empty one. */
  emptyHead: () => SignedHead;
  log: Log;
  clock: Clock;
  everyMilliseconds?: number;
}): WitnessWatch {
  const { witnesses, hold: holdNow, store, doubts, tree, emptyHead, log, clock } = options;
  const { everyMilliseconds = ASK_MILLISECONDS } = options;
  const states = new Map<string, State>();
  const ending = new AbortController();

  function pause(state: State): void {
    state.failures += 1;
    const pauseMilliseconds = Math.min(everyMilliseconds * 2 ** state.failures, MAX_PAUSE_MILLISECONDS);
    state.asksAgainAt = clock.monotonicMilliseconds() + pauseMilliseconds;
  }

  async function ask(witness: Witness, state: State): Promise<void> {
    const number = holdNow()?.number ?? 0;
    // Another broker asks, and knows how it went; or one did, and the tables may be others by now.
    if (number !== state.hold) Object.assign(state, UNHEARD, { hold: number });
    if (number === 0 || clock.monotonicMilliseconds() < state.asksAgainAt) return;
    const { name } = witness.key;
    state.cosigned ??= await store.cosignedSize(name);
    const newest = async () => (await store.newestCosigned()) ?? emptyHead();
    const isKnown = state.hasSpoken && state.says === null;
    if (isKnown && (await newest()).size === state.cosigned) return;
    const submission = await submitCheckpoint({
      ...witness,
      oldSize: state.cosigned,
      newest,
      tree,
      signal: ending.signal,
    });
    if (!ending.signal.aborted) await note(name, state, submission);
  }

  async function note(witness: string, state: State, submission: Submission): Promise<void> {
    const { outcome } = submission;
    if (outcome === 'cosigned') {
      const { size, line } = submission;
      if (size > 0) await store.keep({ size, witness, line });
      Object.assign(state, { hasSpoken: true, cosigned: size, failures: 0, asksAgainAt: 0, says: null });
      return;
    }
    const { why } = submission;
    if (outcome === 'forked') await doubts.raise({ witness, why });
    if (outcome !== 'failed') state.hasSpoken = true;
    const says = outcome === 'forked' || state.says === 'forked' ? 'forked' : 'silent';
    if (says !== state.says) tell(witness, says, why);
    state.says = says;
    pause(state);
  }

  function tell(witness: string, says: 'forked' | 'silent', why: string): void {
    if (says === 'silent')
      log.warn({ witness, why }, 'a witness does not cosign the audit log; it is asked again');
    else log.error({ witness, why }, 'a witness saw another audit log than this one; nothing more is signed');
  }

  const repeated = witnesses.map((witness): Repeated => {
    const state: State = { hold: 0, ...UNHEARD };
    states.set(witness.key.name, state);
    return repeat({
      everyMilliseconds,
      task: () => ask(witness, state),
      onFailure(error) {
        pause(state);
        log.warn({ err: error, witness: witness.key.name }, 'a witness could not be asked');
      },
    });
  });

  return {
    haveSpoken({ number, sinceMilliseconds }) {
      if (clock.monotonicMilliseconds() - sinceMilliseconds >= HEARING_SECONDS * 1_000) return true;
      return [...states.values()].every(({ hold, hasSpoken }) => hold === number && hasSpoken);
    },
    silent: () => [...states].filter(([, { says }]) => says === 'silent').map(([name]) => name),
    async close() {
      ending.abort();
      await Promise.all(repeated.map((each) => each.stop()));
    },
  };
}
