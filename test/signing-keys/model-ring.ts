/**
 * The ring without a database: what the functions of the migration do to rows, on a clock that the test moves. It
 * takes the steps that the rule under test plans, late ones too, and remembers what was minted.
 */
import {
  type KeyState,
  type KeyTimes,
  maySign,
  stateOf,
  tailMilliseconds,
  withRetirement,
} from '../../src/signing-keys/key-state.ts';
import {
  planRotation,
  type RotationDemand,
  type RotationStep,
} from '../../src/signing-keys/plan-rotation.ts';
import type { RotationPolicy } from '../../src/signing-keys/rotation-policy.ts';

const SCHEDULED = { atOnce: false };

export type ModelRing = ReturnType<typeof modelRing>;

export function modelRing(policy: RotationPolicy) {
  let now = 1_800_000_000_000;
  let keys: KeyTimes[] = [];
  const history: { now: number; keys: KeyTimes[] }[] = [];
  const wantedAtOnce = new Set<string>();
  const minted: { kid: string; atMilliseconds: number }[] = [];
  const refusedMints: string[] = [];

  function change(kid: string, changes: Partial<KeyTimes>): void {
    keys = keys.map((key) => (key.kid === kid ? { ...key, ...changes } : key));
    remember();
  }

  function remember(): void {
    history.push({ now, keys });
  }

  function take(step: RotationStep, { atOnce }: { atOnce: boolean }): void {
    const isNeeded = !states().some((key) => key.purpose === step.purpose && key.state === 'active');
    if (step.step === 'create') create(step);
    else if (step.step === 'hasten') hasten(step.kid);
    else erase(step.kid);
    if (step.step === 'erase' || !(atOnce || isNeeded)) return;
    wantedAtOnce.add(step.step === 'create' ? `${step.purpose}-${step.generation}` : step.kid);
  }

  function create(step: Extract<RotationStep, { step: 'create' }>): void {
    const { purpose, generation, leadSeconds, notBeforeMilliseconds } = step;
    if (keys.some((key) => key.purpose === purpose && key.generation === generation)) return;
    const kid = `${purpose}-${generation}`;
    const activeFromMilliseconds = Math.max(now + leadSeconds * 1000, notBeforeMilliseconds ?? 0);
    const times = { publishedAtMilliseconds: now, activeFromMilliseconds, revokedAtMilliseconds: null };
    keys = [...keys, { kid, purpose, generation, isErased: false, ...times }];
    remember();
  }

  function hasten(kid: string): void {
    const key = keys.find((candidate) => candidate.kid === kid);
    if (key === undefined || key.activeFromMilliseconds <= now || key.revokedAtMilliseconds !== null) return;
    change(kid, { activeFromMilliseconds: now });
  }

  function erase(kid: string): void {
    const key = withRetirement(keys).find((candidate) => candidate.kid === kid);
    const retireAt = key?.retireAtMilliseconds ?? Number.POSITIVE_INFINITY;
    if (retireAt + tailMilliseconds(policy.tokenLifetimeSeconds) <= now) change(kid, { isErased: true });
  }

  function states(of: readonly KeyTimes[] = keys): (KeyTimes & { state: KeyState })[] {
    return withRetirement(of).map((key) => ({
      ...key,
      state: stateOf(key, now, policy.tokenLifetimeSeconds),
    }));
  }

  /** What a broker has whose copy was read `ageSeconds` ago. */
  function copyFrom(ageSeconds: number): readonly KeyTimes[] {
    const readAt = now - ageSeconds * 1000;
    return (history.findLast((moment) => moment.now <= readAt) ?? history[0])?.keys ?? [];
  }

  return {
    now: () => now,
    keys: () => keys,
    states: () => states(),
    minted: () => minted,
    refusedMints: () => refusedMints,
    wasWantedAtOnce: (kid: string) => wantedAtOnce.has(kid),
    wait(seconds: number) {
      now += seconds * 1000;
    },
    poll() {
      for (const step of planRotation(keys, now, policy)) take(step, SCHEDULED);
    },
    /** A broker that plans, is paused, and takes its steps when it wakes; others polled in between. */
    pausedPoll(seconds: number) {
      const late = planRotation(keys, now, policy);
      this.poll();
      now += seconds * 1000;
      this.poll();
      for (const step of late) take(step, SCHEDULED);
    },
    rotate(demand: RotationDemand) {
      for (const step of planRotation(keys, now, policy, demand)) {
        take(step, { atOnce: demand.immediately });
      }
    },
    revoke(which: number) {
      const live = keys.filter((key) => key.purpose === 'token' && key.revokedAtMilliseconds === null);
      const victim = live[which % Math.max(live.length, 1)];
      if (victim !== undefined) change(victim.kid, { revokedAtMilliseconds: now, isErased: true });
    },
    /** A broker with an old copy picks the newest key that may sign by it; the database has the last word. */
    mint(copyAgeSeconds: number) {
      const [chosen] = states(copyFrom(copyAgeSeconds))
        .filter((key) => key.purpose === 'token' && maySign(key.state))
        .sort((one, other) => other.generation - one.generation);
      const state = states().find((key) => key.kid === chosen?.kid)?.state;
      if (chosen === undefined || state === undefined) refusedMints.push('no key in the copy');
      else if (maySign(state)) minted.push({ kid: chosen.kid, atMilliseconds: now });
      else refusedMints.push(`${chosen.kid} is ${state}`);
    },
  };
}
