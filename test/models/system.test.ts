import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { soakFactor } from '../soak.ts';
import { RULES, type Rule } from './system/rules.ts';
import { runSystem } from './system/system.ts';

/* Real verifiers' state, real copies of the ledger; modelled brokers, database, network and clocks. */

/** 10⁵ in the soak. */
const SEEDS = soakFactor() === 1 ? 200 : 100_000;
/** The rarest need one or two thousand. */
const SEEDS_TO_FIND = 10_000;

test('no schedule of messages, clocks and failures makes a verifier pass what a receipt says it refuses', () => {
  const total = { granted: 0, receipts: 0, alarms: 0 };
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const { granted, receipts, alarms } = inRun(seed);
    total.granted += granted;
    total.receipts += receipts;
    total.alarms += alarms;
  }
  for (const [what, count] of Object.entries(total)) assert.ok(count > SEEDS, `too few ${what}: ${count}`);
});

function inRun(seed: number, off?: Rule) {
  try {
    return runSystem(seed, off);
  } catch (error) {
    throw new Error(`in the run of seed ${seed}`, { cause: error });
  }
}

describe('a rule that is switched off alone is missed', () => {
  for (const off of RULES) {
    test(off, () => {
      assert.ok(isMissed(off), `nothing goes wrong without ${off}`);
    });
  }
});

function isMissed(off: Rule): boolean {
  for (let seed = 0; seed < SEEDS_TO_FIND; seed += 1) {
    try {
      runSystem(seed, off);
    } catch (error) {
      if (error instanceof assert.AssertionError) return true;
      throw error;
    }
  }
  return false;
}
