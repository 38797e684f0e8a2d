import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { accepts, isIn, type Mode, next, type Off, START, type State, SWITCHES } from './failover.ts';

const MAX_STATES = 400_000;

/** @returns the first state for which it is not true, or null when there is none */
function findBroken(holds: (state: State) => boolean, mode: Mode, off?: Off): State | null {
  const seen = new Set([JSON.stringify(START)]);
  const states = [START];
  for (const state of states) {
    if (!holds(state)) return state;
    for (const after of next(state, mode, off)) {
      const name = JSON.stringify(after);
      if (seen.has(name)) continue;
      seen.add(name);
      states.push(after);
      assert.ok(states.length < MAX_STATES, 'more states than can be looked at');
    }
  }
  return null;
}

/** A kill that is said to be applied everywhere: what was minted before it is accepted nowhere, whatever is lost. */
const oldTokensAreDead = (state: State) =>
  !state.isComplete || state.tokens.every((token) => !token.before || !accepts(state, token));

/** And it still stands, so that nothing new is minted either. */
const killIsKept = ({ isComplete, kill, primary }: State) =>
  !isComplete || kill === null || isIn(primary.ledger, kill.epoch, 'agent');

for (const mode of ['synchronous', 'asynchronous'] as const) {
  test(`after a failover with ${mode} replication no token is accepted that a complete receipt says is refused`, () => {
    assert.equal(findBroken(oldTokensAreDead, mode), null);
  });
}

test('with a synchronous standby a complete kill is never lost', () => {
  assert.equal(findBroken(killIsKept, 'synchronous'), null);
});

test('without one it can be, as the documents say: tokens of before stay dead, but the agent mints again', () => {
  const lost = findBroken(killIsKept, 'asynchronous');
  assert.ok(lost !== null);
  assert.ok(oldTokensAreDead(lost));
});

describe('a rule that is switched off alone is missed', () => {
  for (const off of SWITCHES) {
    test(off, () => {
      const modes = ['synchronous', 'asynchronous'] as const;
      const broken = modes.map((mode) =>
        findBroken(
          (state) => oldTokensAreDead(state) && (mode === 'asynchronous' || killIsKept(state)),
          mode,
          off,
        ),
      );
      assert.ok(broken.some((state) => state !== null));
    });
  }
});
