/** How runs differ: what happens often in one and never in another finds more than an even mixture of all. */
import type { Choices } from './choices.ts';

/** How often each thing happens; each run favours some of them and never does others. */
export const WEIGHTS = {
  ask: 7,
  'renew at once': 7,
  'ask in vain': 3,
  'mint at once': 4,
  'fail over at once': 0.5,
  'revoke at once': 2,
  'race a renewal': 1,
  deliver: 14,
  replay: 3,
  lose: 2,
  'take up a task': 22,
  'drop a task': 0.6,
  news: 3,
  'want missing': 5,
  decide: 12,
  begin: 3,
  finish: 4,
  mint: 5,
  forge: 0.7,
  revoke: 3,
  release: 2,
  'revoke key': 0.3,
  wait: 6,
  'wait long': 0.6,
  'wait to an edge': 3,
  probe: 5,
  sleep: 0.6,
  wake: 2,
  'set clock': 0.8,
  restart: 0.5,
  join: 0.6,
  leave: 0.5,
  'raise floor': 1,
  backup: 1,
  restore: 1,
  'move head': 1,
};
export type Step = keyof typeof WEIGHTS;
const ESSENTIAL: readonly Step[] = ['ask', 'deliver', 'take up a task', 'decide', 'mint', 'revoke', 'wait'];

/** What a run favours besides: where the rules were found to be needed. */
const MOODS: readonly Partial<Record<Step, number>>[] = [
  {},
  {
    join: 6,
    'take up a task': 2,
    'revoke at once': 4,
    'wait long': 0,
    deliver: 2,
    probe: 2,
    'renew at once': 0,
  },
  {
    'ask in vain': 4,
    'revoke at once': 4,
    'wait to an edge': 3,
    'renew at once': 0.3,
    deliver: 0.3,
    ask: 0.3,
  },
  { restore: 6, 'revoke at once': 4, 'ask in vain': 4, backup: 0.3, deliver: 0.5 },
  { 'fail over at once': 8, 'revoke at once': 3, probe: 2, 'wait long': 0 },
  { join: 4, sleep: 4, leave: 3, begin: 4, 'revoke at once': 3, 'wait long': 0 },
];

export function moodOf(choices: Choices): Record<Step, number> {
  const favoured = choices.pick(MOODS) ?? {};
  const entries = Object.entries(WEIGHTS).map(([name, weight]) => {
    const factors = ESSENTIAL.includes(name as Step) ? [0.5, 1, 2] : [0, 0.3, 1, 1, 4];
    return [name, weight * (favoured[name as Step] ?? choices.pick(factors) ?? 1)];
  });
  return Object.fromEntries(entries);
}
