/**
 * What brokers do, as tasks of single steps: between two of them anything may happen, and a task may never be taken
 * up again. Each piece up to a `yield` is one statement, or one message.
 */
import type { LeaseAnswer } from '../../../src/verifier/lease-state.ts';
import type { ModelDatabase, NewEntry, VerifierRow, Written } from './database.ts';
import { LEASES, type Message, type Question } from './messages.ts';
import type { Rule } from './rules.ts';
import { LIFETIME_MILLISECONDS, type Revoked, type Token } from './token.ts';

export type Task = Generator<void, void, void>;

/** What a receipt says about one row. */
export type Said = { how: 'applied' } | { how: 'ended' } | { how: 'outstanding'; stopsAt: number };

export type Receipt = {
  complete: boolean;
  listedAt: number;
  verifiers: ReadonlyMap<string, Said>;
  /** Verifiers that are not listed have stopped by then. */
  othersStopAt: number;
};

/** Longer than any lease. */
export const LONGEST_MILLISECONDS = LEASES.LOW * 1_000;

export type Surroundings = {
  database: ModelDatabase;
  now: () => number;
  /** The next place in the order of events. */
  order: () => number;
  send: (message: Message) => void;
  onMint: (token: Token) => void;
  onCommit: (entry: Written) => Revoked;
  onReceipt: (revoked: Revoked, receipt: Receipt) => void;
  /** Whoever revoked has waited long enough. */
  waitsNoLonger: () => boolean;
  signingKey: () => string;
  off: Rule | undefined;
};

export type Brokers = ReturnType<typeof createBrokers>;

export function createBrokers(around: Surroundings) {
  const { database, now, order, send, off } = around;
  let headIsLocked = false;
  let minted = 0;
  let sharedReading: LeaseAnswer['page'] | null = null;

  const mayServe = () => off === 'L25: another timeline stops the brokers' || database.isKnownTimeline();

  function writeRow({ row: name, generation, applied, digest, sensitivities, leaving }: Question): void {
    const before = database.row(name);
    const isOurs = generation === database.head().generation && digest === database.digestAt(applied);
    const believed = isOurs || off === 'L14: an acknowledgement is of this very ledger' ? applied : 0;
    const ends = now() + Math.max(...sensitivities.map((each) => LEASES[each])) * 1_000;
    const row: VerifierRow = {
      generation,
      applied: believed,
      renewedAt: now(),
      leaseEndsAt: Math.max(ends, before?.leaseEndsAt ?? 0),
      closed: leaving || before?.closed === true,
    };
    database.write(name, row);
  }

  function pageFor({ generation: known, applied }: Question): LeaseAnswer['page'] {
    const generation = off === 'L17: a new generation starts anew' ? database.head().generation : known;
    if (off === 'L14: no reading is shared that was sent before' && sharedReading !== null) {
      const { snapshot, since } = sharedReading;
      if (!snapshot && since === applied && sharedReading.generation === generation) return sharedReading;
    }
    sharedReading = database.read({ since: applied, generation });
    return sharedReading;
  }

  /** L14: the row, then the ledger, then the answer. */
  function* renew(question: Question): Task {
    if (!mayServe()) return;
    const early = off === 'L14: the row is written before the ledger is read' ? pageFor(question) : null;
    if (early !== null) yield;
    writeRow(question);
    yield;
    if (!mayServe()) return;
    const page = early ?? pageFor(question);
    const iat = Math.floor(now() / 1_000);
    yield;
    const { instance, nonce } = question;
    send({
      to: instance,
      what: 'answer',
      answer: { instance, nonce, iat, page, leases: LEASES, signedBy: 'ledger-1' },
    });
  }

  function* answerWant(want: Message & { what: 'want' }): Task {
    if (!mayServe()) return;
    const page = database.read(want);
    yield;
    send({ to: want.instance, what: 'page', page });
  }

  /** A snapshot of checks and epoch, and a commit that may come much later (L9, L10). */
  function* mint(agent: string): Task {
    const kid = around.signingKey();
    if (!mayServe()) return;
    const { incarnation } = database;
    const connection = incarnation();
    const stands = database
      .entries()
      .some(
        (entry) =>
          (entry.kind === 'signing-key' && entry.target === kid) ||
          (entry.standing && forbids(entry, agent) && !database.isReleased(entry.epoch)),
      );
    if (stands) return;
    const at = now();
    const checked = { order: order(), epoch: database.head().epoch, at };
    yield;
    if (connection !== incarnation()) return;
    const epoch =
      off === 'L9: a mint reads the epoch with its checks' ? database.head().epoch : checked.epoch;
    yield;
    minted += 1;
    const begins = off === 'L10: a token ends when the mint statement said' ? now() : at;
    const exp = Math.floor((begins + LIFETIME_MILLISECONDS) / 1_000);
    around.onMint({ jti: `tok-${minted}`, agent, kid, ...checked, epoch, exp, isForged: false });
  }

  const forbids = ({ kind, target }: Written, agent: string) =>
    kind === 'all' || (kind === 'agent' && target === agent);

  function live(): string[] {
    return database
      .rows()
      .filter(([, row]) => !row.closed && isLive(row))
      .map(([name]) => name);
  }

  function isLive({ leaseEndsAt, renewedAt }: VerifierRow): boolean {
    if (off === 'L12: an instance is live to the end of every lease') {
      return now() <= renewedAt + LEASES.HIGH * 1_000;
    }
    return now() <= leaseEndsAt;
  }

  /** From the statement to the receipt (L1, L20, L21). */
  function* revoke(entry: NewEntry): Task {
    if (!mayServe()) return;
    const isOrdered = off !== 'L1: epochs become visible in their order';
    if (isOrdered && headIsLocked) return;
    headIsLocked = isOrdered;
    const connection = database.incarnation();
    const epoch = isOrdered ? undefined : database.nextNumber();
    const early = { at: now(), listed: live() };
    yield;
    headIsLocked = false;
    if (connection !== database.incarnation()) return;
    if (entry.releases !== null && !database.isOpen(entry.releases, entry.releasedDigest)) return;
    const written = database.append({ ...entry, ...(epoch === undefined ? {} : { epoch }) });
    const revoked = around.onCommit(written);
    yield;
    const { generation } = database.head();
    if (!isStillThere(written)) return;
    const committedAt = off === 'L20: the commit time is read after the commit' ? early.at : now();
    yield;
    if (!isStillThere(written)) return;
    const listedAt = now();
    const listed = off === 'L20: verifiers are listed after the commit' ? early.listed : live();
    for (let waiting = true; waiting; waiting = !around.waitsNoLonger()) {
      yield;
      if (!isStillThere(written)) return;
      const receipt = receiptOf({ written, generation, committedAt, listed, listedAt });
      around.onReceipt(revoked, receipt);
      if (receipt.complete) return;
    }
  }

  function isStillThere({ epoch, digest }: Written): boolean {
    return mayServe() && database.entries().some((entry) => entry.epoch === epoch && entry.digest === digest);
  }

  function receiptOf(asked: {
    written: Written;
    generation: number;
    committedAt: number;
    listed: readonly string[];
    listedAt: number;
  }): Receipt {
    const { written, committedAt, listed, listedAt } = asked;
    const stopsAt = committedAt + LONGEST_MILLISECONDS;
    const knowsTheMove = off !== 'L25: no receipt is complete until one lease after the move';
    // A lease that the database has forgotten is over by then, and no row tells of it.
    const othersStopAt = knowsTheMove ? database.movedAt() + LONGEST_MILLISECONDS : Number.NEGATIVE_INFINITY;
    const waits = off !== 'L21: a receipt waits for every live verifier';
    const sayOf = (name: string): Said => {
      const row = database.row(name);
      if (row === undefined || row.closed) return { how: 'ended' };
      if (now() >= Math.min(stopsAt, Math.max(row.leaseEndsAt, othersStopAt))) return { how: 'ended' };
      const isApplied = row.generation === asked.generation && row.applied >= written.epoch;
      return isApplied || !waits ? { how: 'applied' } : { how: 'outstanding', stopsAt };
    };
    const verifiers = new Map(listed.map((name) => [name, sayOf(name)]));
    const isEverybody = [...verifiers.values()].every(({ how }) => how !== 'outstanding');
    return { complete: isEverybody && now() >= othersStopAt, listedAt, verifiers, othersStopAt };
  }

  return {
    renew,
    answerWant,
    mint,
    revoke,
    mayServe,
    /** Every connection broke. */
    reset() {
      headIsLocked = false;
    },
  };
}
