import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyOfSnapshot, type LedgerCopy } from '../../src/revocations/ledger-copy.ts';
import type { LedgerEntry, LedgerPage } from '../../src/revocations/ledger-entry.ts';
import type { Revocation, RevocationTarget } from '../../src/revocations/revocation.ts';
import { isDead } from '../../src/revocations/rule.ts';
import { fc } from '../properties.ts';
import { command, replay, revocable } from './history.ts';

const DIGEST = 'A'.repeat(43);

function asEntry(
  { epoch, standing, releases, releasedEpoch }: Revocation,
  target: RevocationTarget,
): LedgerEntry {
  return {
    epoch,
    digest: DIGEST,
    kind: target.kind,
    target: target.kind === 'all' ? '' : target.id,
    standing,
    releases,
    released_epoch: releasedEpoch,
  };
}

/** What a broker would send about a ledger that ends at `head`: nothing of it is known from later. */
function pageOf(
  entries: readonly LedgerEntry[],
  {
    since,
    through,
    head,
    snapshot = false,
    floor = 0,
  }: { since: number; through: number; head: number; snapshot?: boolean; floor?: number },
): LedgerPage {
  const within = entries
    .filter((entry) => entry.epoch > since && entry.epoch <= through)
    .map((entry) => ({
      ...entry,
      released_epoch: (entry.released_epoch ?? head + 1) <= head ? entry.released_epoch : null,
    }));
  return {
    generation: 1,
    snapshot,
    floor,
    since,
    since_digest: since === 0 ? null : DIGEST,
    through,
    head: { epoch: head, digest: DIGEST },
    entries: within,
  };
}

function copyOf(page: LedgerPage): LedgerCopy {
  const copy = copyOfSnapshot([page]);
  assert.ok(copy);
  return copy;
}

test('a copy decides as the rule does, however the ledger came: whole, in pages, late, twice', () => {
  fc.assert(
    fc.property(
      fc.array(command, { maxLength: 40 }),
      fc.array(fc.nat(40), { maxLength: 8 }),
      fc.nat(40),
      (commands, cuts, repeat) => {
        const { tokens, entries, targets } = replay(commands);
        const sent = entries.map((entry, index) => asEntry(entry, targets[index] ?? { kind: 'all' }));
        const head = entries.length;
        const whole = copyOf(pageOf(sent, { since: 0, through: head, head, snapshot: true }));
        const stops = [...new Set([...cuts.map((cut) => cut % (head + 1)), head])].sort((a, b) => a - b);
        const grown = copyOf(
          pageOf(sent, { since: 0, through: stops[0] ?? 0, head: stops[0] ?? 0, snapshot: true }),
        );
        for (const [index, through] of stops.entries()) {
          const since = stops[index - 1] ?? 0;
          assert.ok(grown.append(pageOf(sent, { since, through, head: through })));
          const late = repeat % (through + 1);
          assert.ok(
            grown.append(pageOf(sent, { since: 0, through: late, head: late })),
            'late ones change nothing',
          );
        }
        assert.equal(grown.epoch, head);
        for (const token of tokens) {
          const expected = isDead(revocable(token), { entries, floor: 0 });
          assert.equal(whole.isDead(revocable(token)), expected);
          assert.equal(grown.isDead(revocable(token)), expected);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('a snapshot of many pages is one copy, with the largest floor of all', () => {
  const entry = (epoch: number): LedgerEntry => ({
    epoch,
    digest: DIGEST,
    kind: 'session',
    target: `s${epoch}`,
    standing: false,
    releases: null,
    released_epoch: null,
  });
  const entries = [1, 2, 3, 4, 5, 6].map(entry);
  const pages = [
    pageOf(entries, { since: 0, through: 2, head: 6, snapshot: true, floor: 3 }),
    pageOf(entries, { since: 2, through: 4, head: 6, snapshot: true, floor: 1 }),
    pageOf(entries, { since: 4, through: 6, head: 6, snapshot: true, floor: 2 }),
  ];
  const copy = copyOfSnapshot(pages);
  assert.deepEqual([copy?.epoch, copy?.floor, copy?.digest], [6, 3, DIGEST]);
  assert.equal(copyOfSnapshot([pages[0], pages[2]].filter((page) => page !== undefined)), null, 'a gap');
  assert.equal(copyOfSnapshot(pages.slice(0, 1))?.digest, null, 'not at the head yet');
  assert.equal(copyOfSnapshot([]), null);
});

test('a page that does not continue the copy leaves it as it was', () => {
  const copy = copyOf(pageOf([], { since: 0, through: 5, head: 5, snapshot: true }));
  const next = pageOf([], { since: 5, through: 9, head: 9 });
  for (const wrong of [
    { ...next, since: 6 },
    { ...next, generation: 2 },
    { ...next, snapshot: true },
  ]) {
    assert.equal(copy.append(wrong), false);
    assert.equal(copy.epoch, 5);
  }
  assert.equal(copy.append(next), true);
  assert.equal(copy.epoch, 9);
});

test('the floor of a copy never falls, and below it everything is dead', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { minLength: 1, maxLength: 10 }), (floors) => {
      const copy = copyOf(
        pageOf([], { since: 0, through: 0, head: 0, snapshot: true, floor: floors[0] ?? 0 }),
      );
      let highest = floors[0] ?? 0;
      floors.forEach((floor, index) => {
        copy.append(pageOf([], { since: copy.epoch, through: index + 1, head: index + 1, floor }));
        highest = Math.max(highest, floor);
        assert.equal(copy.floor, highest);
      });
      const token = { keys: new Set<string>(), exemptFromWide: false };
      assert.equal(copy.isDead({ ...token, epoch: highest - 1 }), true);
      assert.equal(copy.isDead({ ...token, epoch: highest }), false);
    }),
  );
});

test('a copy forgets what can kill nothing that is alive, and never a standing entry or a signing key', () => {
  const count = 10_000;
  const entries: LedgerEntry[] = Array.from({ length: count }, (_, index) => ({
    epoch: index + 1,
    digest: DIGEST,
    kind: index === 0 ? 'zone' : index === 1 ? 'signing-key' : 'token',
    target: `t${index}`,
    standing: index === 0,
    releases: null,
    released_epoch: null,
  }));
  const copy = copyOf(pageOf([], { since: 0, through: 0, head: 0, snapshot: true }));
  for (let since = 0; since < count; since += 1_000) {
    copy.append(pageOf(entries, { since, through: since + 1_000, head: since + 1_000, floor: since }));
  }
  assert.ok(copy.size < 4_000, `${copy.size} keys are remembered`);
  const fresh = { epoch: count, exemptFromWide: false };
  assert.equal(copy.isDead({ ...fresh, keys: new Set(['zone:t0']) }), true);
  assert.equal(copy.isDead({ ...fresh, keys: new Set(), signingKey: 'signing-key:t1' }), true);
  assert.equal(
    copy.isDead({ epoch: count - 2, keys: new Set([`token:t${count - 1}`]), exemptFromWide: false }),
    true,
  );
});
