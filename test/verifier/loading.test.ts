/* A whole copy of the ledger comes in pages, from brokers that answer other questions at the same time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LedgerEntry, LedgerPage } from '../../src/revocations/ledger-entry.ts';
import { createKnownLedger } from '../../src/verifier/known-ledger.ts';

const digestOf = (letter: string, epoch: number) => `${letter}${epoch}`.padEnd(43, '_');

/** A page of two entries out of a ledger of four; ledgers with the same letter are one. */
function partOf(letter: string, since: number): LedgerPage {
  const entry = (epoch: number): LedgerEntry => ({
    epoch,
    digest: digestOf(letter, epoch),
    kind: 'session',
    target: `${letter}${epoch}`,
    standing: false,
    releases: null,
    released_epoch: null,
  });
  return {
    generation: 1,
    snapshot: true,
    floor: 0,
    since,
    since_digest: since === 0 ? null : digestOf(letter, since),
    through: since + 2,
    head: { epoch: 4, digest: digestOf(letter, 4) },
    entries: [entry(since + 1), entry(since + 2)],
  };
}

test('the first page again, as every answer brings it, does not throw away what was loaded', () => {
  const ledger = createKnownLedger();
  assert.equal(ledger.take(partOf('a', 0), 'ledger-1'), 'incomplete');
  assert.equal(ledger.missing(), 2);
  assert.equal(ledger.take(partOf('a', 0), 'ledger-1'), 'incomplete');
  assert.equal(ledger.missing(), 2, 'goes on from where it was');
  assert.equal(ledger.take(partOf('a', 2), 'ledger-1'), 'applied');
  assert.equal(ledger.position().epoch, 4);
});

test('pages of a ledger that was rolled back and of the one that grew after it are no copy', () => {
  const ledger = createKnownLedger();
  ledger.take(partOf('a', 0), 'ledger-1');
  assert.equal(ledger.take(partOf('b', 2), 'ledger-1'), 'incomplete');
  assert.equal(ledger.position().generation, 0);
  assert.equal(ledger.missing(), 0, 'begins anew');
  ledger.take(partOf('b', 0), 'ledger-1');
  assert.equal(ledger.take(partOf('b', 2), 'ledger-1'), 'applied');
  const killed = { epoch: 2, keys: new Set(['session:b3']), exemptFromWide: false };
  assert.equal(ledger.isDead(killed), true);
});
