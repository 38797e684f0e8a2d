/**
 * What this broker knows of drills, whichever broker runs them: the canaries that go out with leases now, what
 * verifiers said of them, and whether a drill has been missed (L26).
 */
import type { Log } from '../errors/log.ts';
import type { Clock } from '../time/clock.ts';
import { type Repeated, repeat } from '../time/repeat.ts';
import { signAccessToken, type TokenSigner } from '../tokens/access-token.ts';
import type { Drills } from '../verifiers/drills.ts';
import { type Canary, MISSES_THAT_COUNT, NO_NEWS } from './drill.ts';
import type { DrillStore } from './drill-store.ts';

export type DrillWatch = Drills & {
  look(): Promise<void>;
  /** Null where drills are off. */
  missed(): boolean | null;
  /**
   * Whether it is doubtful that what this resource takes could be stopped: {@link MISSES_THAT_COUNT} drills in a row
   * missed it, or nobody has ended one for as long. The next one that does not miss it ends that.
   */
  isDoubtful(resource: string): boolean;
  /** The resources of which that is so; null is all. */
  doubtful(): readonly string[] | null;
  /** What readiness says of it. */
  describe(): string;
  /** NaN before the first that was not failed. */
  ageSeconds(): number;
  latencySeconds(): number;
  close(): Promise<void>;
};

const LOOK_MILLISECONDS = 1_000;
/** Outcomes come with questions; those of a moment are written together. */
const GATHER_MILLISECONDS = 20;
/** Two of each instance that asks here while a drill lasts, some 100 bytes each: 50,000 instances a broker. */
const MAX_OUTCOMES = 100_000;
/** One that could not be run, and the next one with all its patience. */
const graceSeconds = (everySeconds: number) => 2 * everySeconds + 30;
const silenceSeconds = (everySeconds: number) => MISSES_THAT_COUNT * everySeconds + 30;

export function watchDrills(options: {
  store: DrillStore;
  /** 0: no drills. */
  everySeconds: number;
  /** Null for a key that may not sign, here and now. */
  signerOf: (kid: string) => TokenSigner | null;
  log: Log;
  clock: Clock;
}): DrillWatch {
  const { store, everySeconds, signerOf, log, clock } = options;
  const startedAt = clock.monotonicMilliseconds();
  let news = NO_NEWS;
  let readAt = startedAt;
  let handedOut = new Map<string, { id: string; token: string }[]>();
  let heard = new Map<string, readonly [string, string, string]>();
  let noted = new Set<string>();
  let gathering: NodeJS.Timeout | undefined;
  let writing = Promise.resolve();

  async function look(): Promise<void> {
    const next = await store.news();
    [news, readAt] = [next, clock.monotonicMilliseconds()];
    const isSame = next.canaries.every(({ id }) => tokenOf(id) !== undefined);
    if (!isSame || next.canaries.length === 0) handOut(next.canaries);
  }

  function tokenOf(id: string): string | undefined {
    return [...handedOut.values()].flat().find((each) => each.id === id)?.token;
  }

  /**
   * Each under the key that was asked for when it was minted: while keys rotate brokers do not yet all sign with the
   * same one. What cannot be signed now is tried again at the next look.
   */
  function handOut(canaries: readonly Canary[]): void {
    handedOut = new Map();
    noted = new Set();
    for (const { id, resource, kid, claims } of canaries) {
      const by = signerOf(kid);
      if (by === null) continue;
      const others = handedOut.get(resource) ?? [];
      handedOut.set(resource, [...others, { id, token: signAccessToken(claims, by) }]);
    }
  }

  function write(): void {
    gathering = undefined;
    const batch = [...heard.values()];
    heard = new Map();
    writing = writing
      .then(() => store.note(batch))
      .catch((error: unknown) => {
        noted = new Set(); // they say it again
        log.warn({ err: error }, 'what verifiers said of a drill could not be written');
      });
  }

  /** Since something that was not failed; since this broker looks, when there was nothing yet. */
  function ageSeconds(): number {
    const sinceRead = (clock.monotonicMilliseconds() - readAt) / 1_000;
    return news.goodAgeSeconds === null ? Number.NaN : news.goodAgeSeconds + sinceRead;
  }

  function missed(): boolean | null {
    if (everySeconds === 0) return null;
    if (news.last?.result === 'failed') return true;
    const age = ageSeconds();
    const sinceStart = (clock.monotonicMilliseconds() - startedAt) / 1_000;
    return (
      Math.min(Number.isNaN(age) ? Number.POSITIVE_INFINITY : age, sinceStart) > graceSeconds(everySeconds)
    );
  }

  function doubtful(): readonly string[] | null {
    if (everySeconds === 0) return [];
    const sinceRead = (clock.monotonicMilliseconds() - readAt) / 1_000;
    const sinceStart = (clock.monotonicMilliseconds() - startedAt) / 1_000;
    const sinceLast = news.last === null ? Number.POSITIVE_INFINITY : news.last.ageSeconds + sinceRead;
    return Math.min(sinceLast, sinceStart) > silenceSeconds(everySeconds) ? null : news.missedInARow;
  }

  // Also where none is run on a schedule: somebody may run one.
  const looking: Repeated = repeat({ everyMilliseconds: LOOK_MILLISECONDS, task: look, onFailure: () => {} });

  return {
    look,
    drillsFor: (resource) => handedOut.get(resource) ?? [],
    noteDrillOutcomes({ instance, outcomes }) {
      for (const { id, outcome } of outcomes) {
        const name = `${id} ${instance} ${outcome}`;
        if (noted.has(name) || noted.size >= MAX_OUTCOMES || tokenOf(id) === undefined) continue;
        noted.add(name);
        heard.set(name, [id, instance, outcome]);
      }
      if (heard.size > 0) gathering ??= setTimeout(write, GATHER_MILLISECONDS);
    },
    missed,
    doubtful,
    isDoubtful(resource) {
      const resources = doubtful();
      return resources === null || resources.includes(resource);
    },
    describe() {
      if (everySeconds === 0) return 'no drills';
      const age = ageSeconds();
      const good = Number.isNaN(age) ? 'none passed yet' : `the last good one ended ${age.toFixed(0)} s ago`;
      const resources = doubtful();
      if (resources === null) return `missed everywhere, ${MISSES_THAT_COUNT} times in a row: ${good}`;
      if (resources.length > 0) {
        return `missed at ${resources.length} resource(s), ${MISSES_THAT_COUNT} times in a row: ${good}`;
      }
      return missed() === true ? `missed: ${good}` : good;
    },
    ageSeconds,
    latencySeconds: () => news.latencySeconds ?? Number.NaN,
    async close() {
      clearTimeout(gathering);
      await Promise.all([looking.stop(), writing]);
    },
  };
}
