/**
 * Tells the other brokers that the ledger has grown: NOTIFY, on its own, after the commit (L1). At most one is under
 * way; what grows meanwhile is told by the next one. Losing one costs a second, since every broker also polls.
 */
import type { Pool } from 'pg';
import { runStatement } from '../database/transaction.ts';
import type { Log } from '../errors/log.ts';

export const LEDGER_CHANNEL = 'mayfly_ledger';

export type Announcer = {
  /** Returns at once and never throws. */
  announce(): void;
};

/** @param pool one that whoever floods the broker does not stand in front of */
export function createAnnouncer(pool: Pool, log: Log): Announcer {
  let busy = false;
  let again = false;

  async function notify(): Promise<void> {
    busy = true;
    do {
      again = false;
      await runStatement(pool, { text: `select pg_notify('${LEDGER_CHANNEL}', '')` });
    } while (again);
  }

  return {
    announce() {
      if (busy) {
        again = true;
        return;
      }
      notify()
        .catch((error) => log.warn({ err: error }, 'other brokers were not woken; they poll'))
        .finally(() => {
          busy = false;
        });
    },
  };
}
