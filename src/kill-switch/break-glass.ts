/**
 * The kill switch when no broker answers: the same statements, straight at the database, by whoever may log in there.
 * Nobody is authenticated but by the database itself; the record says who broke the glass. Brokers and verifiers
 * learn of it as of any other entry, as soon as they run again or poll. What it cannot do is sign a receipt: a broker
 * makes one later, out of the same facts.
 */
import { createCommitWait, EMPTY_COMMIT } from '../database/commit-wait.ts';
import { createPool, type Pool } from '../database/pool.ts';
import { runStatement } from '../database/transaction.ts';
import type { Log } from '../errors/log.ts';
import { LEDGER_CHANNEL } from '../revocations/announcement-store.ts';
import type { SettledEntry } from '../revocations/receipt.ts';
import { createReceiptStore } from '../revocations/receipt-store.ts';
import { createReceipts } from '../revocations/receipts.ts';
import type { Clock } from '../time/clock.ts';
import { createKillSwitchStore, type SwitchRow } from './kill-switch-store.ts';
import type { KillTarget } from './kill-target.ts';

export type BrokenGlass = {
  engage(order: {
    target: KillTarget;
    reason: string;
    waitSeconds: number;
  }): Promise<{ effect: 'engaged' | 'none'; settled: SettledEntry } | { effect: 'unknown_target' }>;
  release(order: {
    id: string;
    reason: string;
  }): Promise<{ effect: 'released' | 'none'; settled: SettledEntry } | { effect: 'own' | 'unknown' }>;
  /** What stands now. */
  engaged(): Promise<SwitchRow[]>;
  close(): Promise<void>;
};

/** `break-glass:olivia` is the operator olivia to the rule that whoever engages cannot release. */
const ACTOR_PREFIX = 'break-glass:';
const MAX_LISTED = 200;

/**
 * @param options.url of the database, as `mayfly_app` or `mayfly_owner`
 * @param options.person who does it, for the record
 */
export function breakGlass(options: {
  url: string;
  person: string;
  longestLeaseSeconds: number;
  log: Log;
  clock: Clock;
}): BrokenGlass {
  const { url, person, longestLeaseSeconds, log, clock } = options;
  const connect = (applicationName: string) => createPool({ url, size: 1, applicationName, log });
  const [ledgerPool, aside] = [connect('mayfly break glass'), connect('mayfly break glass aside')];
  const commit = createCommitWait({ pool: ledgerPool, aside, log });
  const store = createKillSwitchStore({ killSwitch: commit, pool: aside, clock });
  const receipts = createReceipts({
    issuer: '',
    store: createReceiptStore(aside, { longestLeaseSeconds }),
    signer: () => {
      throw new Error('whoever breaks the glass has no key to sign with');
    },
    confirm: async () => (await commit(EMPTY_COMMIT)).replicated,
    clock,
  });
  const change = (reason: string) => ({
    reason,
    actor: `${ACTOR_PREFIX}${person}`,
    requestId: undefined,
    idempotency: undefined,
  });

  return {
    async engage({ target, reason, waitSeconds }) {
      const engaged = await store.engage(target, change(reason));
      if (engaged.outcome === 'unknown_target' || engaged.outcome === 'other_request') {
        return { effect: 'unknown_target' };
      }
      await wakeBrokers(aside, log);
      const settled = await receipts.settle(engaged.epoch, {
        replicated: engaged.outcome === 'engaged' ? engaged.replicated : null,
        withinMilliseconds: waitSeconds * 1_000,
      });
      return { effect: engaged.outcome === 'engaged' ? 'engaged' : 'none', settled };
    },

    async release({ id, reason }) {
      const released = await store.release(id, change(reason));
      if (released.outcome === 'own') return { effect: 'own' };
      if (released.outcome === 'unknown' || released.outcome === 'other_request')
        return { effect: 'unknown' };
      await wakeBrokers(aside, log);
      const settled = await receipts.settle(released.epoch, {
        replicated: released.outcome === 'released' ? released.replicated : null,
        withinMilliseconds: 0,
      });
      return { effect: released.outcome === 'released' ? 'released' : 'none', settled };
    },

    engaged: () => store.list({ state: 'engaged' }, { after: null, atMost: MAX_LISTED }),
    close: async () => {
      await Promise.all([ledgerPool.end(), aside.end()]);
    },
  };
}

/** A hint: brokers that do not hear it look by themselves within a second. */
async function wakeBrokers(pool: Pool, log: Log): Promise<void> {
  try {
    await runStatement(pool, { text: 'select pg_notify($1, $2)', values: [LEDGER_CHANNEL, ''] });
  } catch (error) {
    log.warn({ err: error }, 'brokers were not woken; they look by themselves');
  }
}
