/**
 * Brokers, one database, verifiers, and an adversary that holds the network, the clocks and the switches. The ledger's
 * promise is checked at every single decision: nobody passes who is dead by the order of events, unless that verifier
 * may not know yet; and how long it may not, a receipt has said. Then nobody meddles any more, and what ought to work
 * has to work again.
 */
import { createAdversary } from './adversary.ts';
import { moodOf } from './moods.ts';
import type { Rule } from './rules.ts';
import { AGENTS } from './token.ts';
import { createWorld, type World } from './world.ts';

/** Short runs meet races of few, long ones what builds up. */
const STEPS = [50, 100, 100, 250];
const CALM_ROUNDS = 8;
const ROUND_MILLISECONDS = 500;
const MAX_MISSING_PAGES = 20;

export type Told = { granted: number; receipts: number; alarms: number };

/**
 * One run; the same seed is the same run.
 * @param off a rule that nobody obeys
 * @throws {AssertionError} when the ledger's promise was broken
 */
export function runSystem(seed: number, off?: Rule): Told {
  const world = createWorld(seed, off);
  const { choices, judge, verifiers } = world;
  const adversary = createAdversary(world);
  if (choices.chance(0.8)) everybodyAtWork(world);
  const mood = moodOf(choices);
  for (let left = choices.pick(STEPS) ?? 0; left > 0; left -= 1) {
    adversary[choices.weighted(mood)]();
    judge.noFalseAlarm(verifiers);
  }
  calm(world);
  return judge.told();
}

function everybodyAtWork(world: World): void {
  for (const agent of AGENTS) world.finish(world.mintFor(agent));
  for (const verifier of world.verifiers) {
    if (world.askAtOnce(verifier)) verifier.hear(world.network.newest());
  }
}

/** Everything of before is over, and every message arrives. */
function calm(world: World): void {
  const { network, verifiers, tokens, judge, now } = world;
  network.clear();
  settle(world);
  world.moveHead();
  for (const verifier of verifiers) verifier.recover();
  const calmSince = now();
  for (let round = 1; round <= CALM_ROUNDS; round += 1) {
    world.wait(ROUND_MILLISECONDS);
    if (round === CALM_ROUNDS / 2) for (const agent of AGENTS) world.start(world.mintFor(agent));
    for (const verifier of world.awake()) {
      verifier.ask();
      settle(world);
    }
    fetchMissing(world);
  }
  const fresh = tokens.filter(({ at, isForged }) => !isForged && at > calmSince);
  judge.recovered(world.awake(), fresh);
}

function settle(world: World): void {
  const { network, tasks } = world;
  let message = network.oldest();
  while (message !== undefined || tasks.length > 0) {
    world.receive(message);
    while (tasks.length > 0) world.takeUp(tasks[0]);
    message = network.oldest();
  }
}

/** A verifier that lacks pages fetches them one after the other, and goes on asking meanwhile. */
function fetchMissing(world: World): void {
  for (const verifier of world.awake()) {
    for (let pages = 0; pages < MAX_MISSING_PAGES && verifier.wantMissing(); pages += 1) {
      verifier.ask();
      settle(world);
    }
  }
}
