import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { copyOfSnapshot, type LedgerCopy } from '../../src/revocations/ledger-copy.ts';
import type { LedgerEntry, LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { isDead } from '../../src/revocations/rule.ts';
import { fc } from '../properties.ts';
import { soakFactor } from '../soak.ts';
import { command, KID, LEDGER_RULES, type LedgerRule, revocable } from './ancestry.ts';
import { type Told, tell } from './ancestry-history.ts';

/* The rule (L8) against the order of events, with sessions that mint again, children, forgeries and forgetting. */

const RUNS = 200 * 5 * soakFactor();
const RUNS_TO_FIND = 4_000;
const history = fc.array(command, { maxLength: 40, size: 'max' });
const cuts = fc.tuple(fc.nat(40), fc.nat(40));

function everyTokenIsJudgedByOrder({ tokens, entries, diesByOrder }: Told, off?: LedgerRule): void {
  for (const token of tokens.filter(({ isForged }) => !isForged)) {
    assert.equal(isDead(revocable(token, off), { entries, floor: 0 }), diesByOrder(token), token.jti);
  }
}

function noMintInADeadSession({ mints }: Told): void {
  for (const { refused, dead } of mints) assert.equal(refused, dead);
}

/** A thief of the key writes any epoch, so only what ignores epochs counts: the key itself, and what stands. */
function forgeriesDieWithTheKey(
  { tokens, entries, keysRevoked, isStoppedByOrder }: Told,
  off?: LedgerRule,
): void {
  for (const token of tokens.filter(({ isForged }) => isForged)) {
    const stops = keysRevoked.has(KID) || isStoppedByOrder(token);
    if (stops) assert.ok(isDead(revocable(token, off), { entries, floor: 0 }), `the forged ${token.jti}`);
  }
}

/** A copy that began with a pruned snapshot and grew by pages knows every dead token, and is only strict below its floor. */
function copiesOnlyErrOnTheSafeSide(
  told: Told,
  [begin, forgotten]: [number, number],
  off?: LedgerRule,
): void {
  const head = told.entries.length;
  const start = head === 0 ? 0 : begin % (head + 1);
  const floor = start === 0 ? 0 : forgotten % (start + 1);
  const snapshot = pageOf(told, { since: 0, through: start, floor, snapshot: true });
  const said = off === 'L5: a pruned copy has a floor' ? { ...snapshot, floor: 0 } : snapshot;
  const copy = copyOfSnapshot([said]);
  const rest = pageOf(told, { since: start, through: head, floor: said.floor, snapshot: false });
  assert.ok(copy);
  assert.ok(copy.append(rest));
  for (const token of told.tokens.filter(({ isForged }) => !isForged)) judge(copy, token, floor);

  function judge(grown: LedgerCopy, token: Told['tokens'][number], below: number): void {
    const dead = grown.isDead(revocable(token, off));
    if (told.diesByOrder(token)) assert.ok(dead, `${token.jti} is dead`);
    else if (dead) assert.ok(token.epoch < below, `${token.jti} is alive`);
  }
}

function pageOf(
  { entries, targets }: Told,
  { since, through, floor, snapshot }: { since: number; through: number; floor: number; snapshot: boolean },
): LedgerPage {
  const digest = 'A'.repeat(43);
  const told = entries.map((entry, index): LedgerEntry => {
    const target = targets[index] ?? { kind: 'all' };
    const { epoch, standing, releases, releasedEpoch } = entry;
    const released_epoch = releasedEpoch !== null && releasedEpoch <= through ? releasedEpoch : null;
    const id = target.kind === 'all' ? '' : target.id;
    return { epoch, digest, kind: target.kind, target: id, standing, releases, released_epoch };
  });
  return {
    generation: 1,
    snapshot,
    floor,
    since,
    since_digest: since === 0 ? null : digest,
    through,
    head: { epoch: through, digest },
    entries: told.filter((entry) => entry.epoch > since && entry.epoch <= through && remains(entry)),
  };

  function remains({ epoch, standing, released_epoch, kind }: LedgerEntry): boolean {
    if (!snapshot || epoch > floor) return true;
    return kind === 'signing-key' || (standing && released_epoch === null);
  }
}

function property(off?: LedgerRule) {
  return fc.property(history, cuts, (commands, where) => {
    const told = tell(commands, off);
    everyTokenIsJudgedByOrder(told, off);
    noMintInADeadSession(told);
    forgeriesDieWithTheKey(told, off);
    copiesOnlyErrOnTheSafeSide(told, where, off);
  });
}

test('rule, mint and copy say what the order of events says, with true ancestry', () => {
  fc.assert(property(), { numRuns: RUNS });
});

describe('a rule that is switched off alone is missed', () => {
  for (const off of LEDGER_RULES) {
    test(off, () => {
      const { failed } = fc.check(property(off), { numRuns: RUNS_TO_FIND, endOnFailure: true });
      assert.ok(failed, `nothing goes wrong without ${off}`);
    });
  }
});
