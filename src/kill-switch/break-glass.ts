/**
 * The kill switch when no broker answers: the same statements, straight at the database, by whoever may log in there.
 * Nobody is authenticated but by the database itself; the record says who broke the glass. Brokers and verifiers
 * learn of it as of any other entry, as soon as they run again or poll. What it cannot do is sign a receipt: a broker
 * makes one later, out of the same facts.
 *
 * Whether this is the database that brokers use, nobody can know here. But whether the ledger goes on in it is written
 * in its head (L25): a restored copy or a promoted standby is refused unless it is what is meant. A kill in there is
 * better than none, for it stands once the head was moved there; of enforcement points it proves nothing.
 */
import { createCommitWait, EMPTY_COMMIT } from '../database/commit-wait.ts';
import { UnfitDatabaseError } from '../database/database-error.ts';
import { createPool, type Pool, type PoolOptions } from '../database/pool.ts';
import { runStatement } from '../database/transaction.ts';
import type { Log } from '../errors/log.ts';
import { LEDGER_CHANNEL } from '../revocations/announcement-store.ts';
import { type ClusterIdentity, type DatabaseIdentity, readIdentity } from '../revocations/identity-store.ts';
import type { SettledEntry } from '../revocations/receipt.ts';
import { createReceiptStore } from '../revocations/receipt-store.ts';
import { createReceipts } from '../revocations/receipts.ts';
import type { Clock } from '../time/clock.ts';
import { createKillSwitchStore, type SwitchRow } from './kill-switch-store.ts';
import type { KillTarget } from './kill-target.ts';

/** The ledger does not go on in this database. */
export class ElsewhereError extends UnfitDatabaseError {}

export type BrokenGlass = {
  /** @throws {ElsewhereError} when the ledger does not go on here, as does everything else, unless it may */
  database(): Promise<DatabaseIdentity>;
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
 * @param options.anyDatabase also where the ledger does not go on
 */
export function breakGlass(options: {
  url: string;
  person: string;
  anyDatabase: boolean;
  longestLeaseSeconds: number;
  log: Log;
  clock: Clock;
}): BrokenGlass {
  const { url, person, anyDatabase, longestLeaseSeconds, log, clock } = options;
  // Each connection is asked: behind one address there may be two servers, and one after the other.
  const admit: PoolOptions['admit'] = async (client) => {
    const found = await readIdentity(client);
    if (!found.same && !anyDatabase) throw new ElsewhereError(elsewhere(found));
  };
  const connect = (applicationName: string) => createPool({ url, size: 1, applicationName, log, admit });
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
    source: undefined,
    idempotency: undefined,
  });

  async function database(): Promise<DatabaseIdentity> {
    const client = await ledgerPool.connect();
    try {
      return await readIdentity(client);
    } finally {
      client.release();
    }
  }

  /** What a database says of enforcement points in which the ledger does not go on is no proof. */
  async function settle(...asked: Parameters<typeof receipts.settle>): Promise<SettledEntry> {
    const settled = await receipts.settle(...asked);
    return (await database()).same ? settled : { ...settled, complete: false };
  }

  return {
    database,

    async engage({ target, reason, waitSeconds }) {
      const engaged = await store.engage(target, change(reason));
      if (engaged.outcome === 'unknown_target' || engaged.outcome === 'other_request') {
        return { effect: 'unknown_target' };
      }
      await wakeBrokers(aside, log);
      const settled = await settle(engaged.epoch, {
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
      const settled = await settle(released.epoch, {
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

function elsewhere({ ledger, ...found }: DatabaseIdentity): string {
  return (
    `This is ${nameOf(found)}, and the ledger goes on in ${nameOf(ledger)}: a restored copy, or a standby that was promoted. ` +
    'Brokers serve nothing from it until `mayfly ledger move-head`, and what happens in it stops nothing elsewhere.'
  );
}

function nameOf({ system_identifier: cluster, timeline }: ClusterIdentity): string {
  return `cluster ${cluster}, timeline ${timeline}`;
}

/** A hint: brokers that do not hear it look by themselves within a second. */
async function wakeBrokers(pool: Pool, log: Log): Promise<void> {
  try {
    await runStatement(pool, { text: 'select pg_notify($1, $2)', values: [LEDGER_CHANNEL, ''] });
  } catch (error) {
    log.warn({ err: error }, 'brokers were not woken; they look by themselves');
  }
}
