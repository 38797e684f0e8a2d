/**
 * Has every witness cosign the log as it grows: only the broker that keeps the log asks, each witness in its own time,
 * so that a slow one holds up neither the others nor the log itself, which never waits for them.
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { type Repeated, repeat } from '../time/repeat.ts';
import type { CosignatureStore } from './cosignature-store.ts';
import { submitCheckpoint } from './submit-checkpoint.ts';
import type { StoredTree } from './tree-store.ts';
import type { VerifierKey } from './verifier-key.ts';

export type Witness = { url: string; key: VerifierKey };

export type WitnessWatch = {
  /** The names of those that saw another log than this one. Until one of them cosigns again. */
  forked(): string[];
  /** The names of those that gave no answer that counts when they were asked last. */
  silent(): string[];
  close(): Promise<void>;
};

const ASK_MILLISECONDS = 1_000;
const MAX_PAUSE_MILLISECONDS = 60_000;

type State = {
  cosigned: number | null;
  failures: number;
  asksAgainAt: number;
  says: 'silent' | 'forked' | null;
};

export function askWitnesses(options: {
  witnesses: readonly Witness[];
  /** Whether this broker is the one that keeps the log. */
  keeps: () => boolean;
  store: CosignatureStore;
  tree: Pick<StoredTree, 'consistency'>;
  log: Log;
  clock: Clock;
  everyMilliseconds?: number;
}): WitnessWatch {
  const { witnesses, keeps, store, tree, log, clock, everyMilliseconds = ASK_MILLISECONDS } = options;
  const states = new Map<string, State>();
  const ending = new AbortController();

  function pause(state: State): void {
    state.failures += 1;
    const pauseMilliseconds = Math.min(everyMilliseconds * 2 ** state.failures, MAX_PAUSE_MILLISECONDS);
    state.asksAgainAt = clock.monotonicMilliseconds() + pauseMilliseconds;
  }

  async function ask({ url, key }: Witness, state: State): Promise<void> {
    if (!keeps()) {
      // Another broker asks, and knows how it went.
      [state.cosigned, state.says] = [null, null];
      return;
    }
    if (clock.monotonicMilliseconds() < state.asksAgainAt) return;
    state.cosigned ??= await store.cosignedSize(key.name);
    const newest = await store.newestCosigned();
    if (newest === null || (newest.size === state.cosigned && state.says === null)) return;
    const submission = await submitCheckpoint({
      url,
      key,
      oldSize: state.cosigned,
      newest: store.newestCosigned,
      tree,
      signal: ending.signal,
    });
    if (submission.outcome === 'cosigned') {
      const { size, line } = submission;
      await store.keep({ size, witness: key.name, line });
      Object.assign(state, { cosigned: size, failures: 0, asksAgainAt: 0, says: null });
      return;
    }
    const says = submission.outcome === 'forked' ? 'forked' : state.says === 'forked' ? 'forked' : 'silent';
    if (says !== state.says && !ending.signal.aborted) tell(key.name, says, submission.why);
    state.says = says;
    pause(state);
  }

  function tell(witness: string, says: 'forked' | 'silent', why: string): void {
    if (says === 'silent')
      log.warn({ witness, why }, 'a witness does not cosign the audit log; it is asked again');
    else
      log.error(
        { witness, why },
        'a witness saw another audit log than this one: mayfly audit verify --live',
      );
  }

  const repeated = witnesses.map((witness): Repeated => {
    const state: State = { cosigned: null, failures: 0, asksAgainAt: 0, says: null };
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

  const named = (what: State['says']) =>
    [...states].filter(([, { says }]) => says === what).map(([name]) => name);

  return {
    forked: () => named('forked'),
    silent: () => named('silent'),
    async close() {
      ending.abort();
      await Promise.all(repeated.map((each) => each.stop()));
    },
  };
}
