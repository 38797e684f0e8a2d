/** What the ledger promises, looked at from outside, where everything is known. */
import assert from 'node:assert/strict';
import type { Receipt } from './brokers.ts';
import { LONGEST_MILLISECONDS } from './brokers.ts';
import type { ModelDatabase } from './database.ts';
import { LEASES } from './messages.ts';
import { isKilled, LIFETIME_MILLISECONDS, type Revoked, type Token } from './token.ts';
import type { Grant, Verifier } from './verifiers.ts';

/** A verifier's clock may be a minute off, and a slow answer hides as much again as it took. */
const CLOCK_MILLISECONDS = 62_000 + LONGEST_MILLISECONDS;

export function createJudge({
  database,
  now,
  revoked,
}: {
  database: ModelDatabase;
  now: () => number;
  revoked: readonly Revoked[];
}) {
  const receipts = new Map<Revoked, Receipt>();
  /** Of the epochs that only a lost ledger had: in the one that goes on they mean something else. */
  const ghosts: { above: number; before: number }[] = [];
  let wasRestored = false;
  let silentlyRestoredAt = Number.NEGATIVE_INFINITY;
  let granted = 0;
  let alarms = 0;

  /** A backup that nobody noticed took these with it: what was not applied then is gone, and no rule can know. */
  const isBeyondHelp = ({ isLost }: Revoked) => isLost && silentlyRestoredAt > Number.NEGATIVE_INFINITY;

  function isGhost({ epoch, at }: Token): boolean {
    return ghosts.some(({ above, before }) => epoch > above && at <= before);
  }

  function mayNotKnowYet({ verifier }: Grant, each: Revoked): void {
    const { instance, row } = verifier;
    const what = `${instance} passed what ${each.entry.kind}:${each.entry.target} (${each.entry.epoch}) killed`;
    assert.ok(
      !database.hasIn(verifier.position().digest, each.entry.digest),
      `${what}, which it had applied`,
    );
    if (isBeyondHelp(each)) return;
    assert.ok(
      now() < each.committedAt + verifier.longestMilliseconds,
      `${what} longer ago than its leases last`,
    );
    const receipt = receipts.get(each);
    if (receipt === undefined) return;
    const said = receipt.verifiers.get(row) ?? { how: 'unlisted' };
    // Rows that a backup has forgotten are missed for as long as a lease lasts.
    const isForgotten = receipt.listedAt < silentlyRestoredAt + LONGEST_MILLISECONDS;
    if (said.how === 'applied') assert.fail(`${what}; the receipt says that it refuses`);
    if (said.how === 'outstanding') {
      assert.ok(now() < said.stopsAt, `${what}; the receipt says that it has stopped`);
    } else {
      const mayBe = isForgotten || (said.how === 'unlisted' && now() < receipt.othersStopAt);
      assert.ok(mayBe, `${what}; the receipt says that it is ${said.how}`);
    }
  }

  return {
    note: (each: Revoked, receipt: Receipt) => void receipts.set(each, receipt),

    grant(grant: Grant): void {
      granted += 1;
      const { token, sensitivity, verifier } = grant;
      for (const each of revoked) {
        if (!isKilled(token, each) || (isGhost(token) && each.order > token.order)) continue;
        mayNotKnowYet(grant, each);
      }
      const ends = token.at + LIFETIME_MILLISECONDS + CLOCK_MILLISECONDS;
      assert.ok(now() < ends, `L10: ${token.jti} passed after its end`);
      const longest = Math.min(LEASES[sensitivity] * 1_000, verifier.longestMilliseconds);
      assert.ok(now() < verifier.lastAnsweredAsk() + longest, `${verifier.instance} decided without a lease`);
    },

    restored({ silently }: { silently: boolean }): void {
      const digests = new Set(database.entries().map(({ digest }) => digest));
      for (const each of revoked) if (!digests.has(each.entry.digest)) each.isLost = true;
      wasRestored = true;
      if (!silently) return;
      silentlyRestoredAt = now();
      ghosts.push({ above: database.head().epoch, before: now() });
    },

    noFalseAlarm(verifiers: readonly Verifier[]): void {
      for (const verifier of verifiers) {
        const alarm = verifier.alarm();
        if (alarm === null) continue;
        alarms += 1;
        assert.ok(wasRestored, `${verifier.instance} says ${alarm} of a ledger that nobody touched`);
      }
    },

    /** In the calm after it, what ought to work works again, and what is wrong has been noticed. */
    recovered(verifiers: readonly Verifier[], fresh: readonly Token[]): void {
      const head = database.head();
      for (const verifier of verifiers) {
        if (verifier.alarm() !== null) {
          assert.ok(silentlyRestoredAt > Number.NEGATIVE_INFINITY, `${verifier.instance} never recovers`);
          continue;
        }
        assert.deepEqual(verifier.position(), head, `${verifier.instance} is not where the ledger is`);
        for (const token of fresh) {
          assert.ok(verifier.decides(token, 'HIGH'), `${verifier.instance} refuses the good ${token.jti}`);
        }
      }
    },

    /** When receipts say that somebody has stopped. */
    stops: () =>
      [...receipts.values()].flatMap(({ verifiers, othersStopAt }) => [
        othersStopAt,
        ...[...verifiers.values()].map((said) => (said.how === 'outstanding' ? said.stopsAt : othersStopAt)),
      ]),

    told: () => ({ granted, receipts: receipts.size, alarms }),
  };
}
