/** The ledger as one broker follows it: what it knows, whether it believes it, and how others learn of news. */
import type { Database } from './database/connections.ts';
import { listenTo } from './database/listen.ts';
import type { Log } from './errors/log.ts';
import { type Announcer, createAnnouncer, LEDGER_CHANNEL } from './revocations/announcement-store.ts';
import { followLedger, type LedgerFollower } from './revocations/ledger-follower.ts';
import { createLedgerStore, type LedgerStore } from './revocations/ledger-store.ts';
import type { LedgerTrust } from './revocations/ledger-trust.ts';
import { createPageReader, type PageReader } from './revocations/page-reader.ts';
import { createPageSigner } from './revocations/sign-page.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';

export type Ledger = {
  trust: LedgerTrust;
  store: LedgerStore;
  follower: LedgerFollower;
  pages: PageReader;
  /** For whoever appended an entry, once that has committed. */
  announcer: Announcer;
  close(): Promise<void>;
};

/** Has been read once when it resolves. */
export async function openLedger(options: {
  /** Of the database itself, not of a pooler: LISTEN needs a connection of its own. */
  url: string;
  database: Database;
  issuer: string;
  ring: KeyRing;
  trust: LedgerTrust;
  log: Log;
  clock: Clock;
}): Promise<Ledger> {
  const { url, database, issuer, ring, trust, log, clock } = options;
  const store = createLedgerStore(database.ledgerPool);
  const sign = createPageSigner({ issuer, signer: ring.ledgerSigner, clock });
  const follower = await followLedger({
    store,
    trust,
    sign,
    listen: (onWake) => listenTo({ url, channel: LEDGER_CHANNEL, onWake, log }),
    log,
    clock,
  });
  const others = createAnnouncer(database.ledgerPool, log);
  return {
    trust,
    store,
    follower,
    pages: createPageReader({ store, sign }),
    announcer: {
      announce() {
        others.announce();
        follower.wake();
      },
    },
    close: follower.close,
  };
}
