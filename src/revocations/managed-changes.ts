/**
 * What an operator revokes or releases, from the request to the answer. Every such operation is the same: why, under
 * which idempotency key, and either what it would hit or the entry that now stands in the ledger.
 *
 * The answer says `effect: none` when it was so before; then the entry is the one that made it so. After the commit
 * `afterRevocation` may wait for enforcement points, and says what the answer tells of them. What the standby may not
 * have is not called done: 202 (L21).
 */
import { refuse } from '../errors/refusal.ts';
import type { RefusalReason } from '../errors/refusal-reasons.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import { type Change, readChange } from '../operators/read-change.ts';
import type { ChangeOutcome, Confirmed, ToldEntry } from './managed-change-store.ts';
import type { ReachStore } from './reach-store.ts';
import type { RevocationTarget } from './revocation.ts';

export type AfterRevocation = (entry: {
  id: string;
  epoch: number;
  actor: string;
  /** Whether the standby confirmed a commit at or after the entry's. */
  replicated: boolean;
}) => Promise<{ status: 200 | 202; members: Readonly<Record<string, unknown>> }>;

export type ChangeOrder = {
  /** What it is about, by the name that the ledger uses; null when there is no such thing. */
  target: () => Promise<RevocationTarget | null>;
  make: (change: Change) => Promise<Confirmed<ChangeOutcome>>;
  notFound: RefusalReason;
  /** What helps whoever misspelt it. */
  notFoundHint?: () => string;
};

export type ManagedChanges = {
  /** @throws {Refusal} `invalid_request`, `not_found`, `nothing_to_release`, `idempotency_key_reused` */
  answer(order: ChangeOrder, call: Call, operator: Operator): Promise<Answer>;
};

export function createManagedChanges(options: {
  reach: ReachStore;
  afterRevocation: AfterRevocation;
}): ManagedChanges {
  const { reach, afterRevocation } = options;

  async function preview({ target: find, ...order }: ChangeOrder): Promise<Answer> {
    const target = (await find()) ?? refuseUnknown(order);
    const { sessions, liveTokens } = await reach.count(target);
    const told = { kind: target.kind, id: target.kind === 'all' ? '' : target.id };
    return { body: { dry_run: true, target: told, sessions, live_tokens: liveTokens } };
  }

  return {
    async answer(order, call, operator) {
      const change = readChange(call, operator);
      if (change === null) return preview(order);
      const { outcome, answer, replicated } = await order.make(change);
      if (answer === null) return refuseOutcome(outcome, order);
      return tellEntry(answer, { replicated, afterRevocation });
    },
  };
}

/** The answer of an entry that now stands in the ledger. */
export async function tellEntry(
  entry: ToldEntry,
  { replicated, afterRevocation }: { replicated: boolean; afterRevocation: AfterRevocation },
): Promise<Answer> {
  const { id, epoch, kind, target, standing, releases = null, reason, actor, at, effect } = entry;
  const { status, members } =
    id === undefined || epoch === undefined
      ? { status: replicated ? 200 : 202, members: { replicated } }
      : await afterRevocation({ id, epoch, actor, replicated });
  return {
    status,
    body: {
      id: id ?? null,
      epoch: epoch ?? null,
      effect,
      target: { kind, id: target },
      standing,
      releases,
      reason,
      actor,
      at: new Date(at).toISOString(),
      ...members,
    },
  };
}

function refuseUnknown({ notFound, notFoundHint }: Pick<ChangeOrder, 'notFound' | 'notFoundHint'>): never {
  return refuse(notFound, notFoundHint === undefined ? {} : { hint: notFoundHint() });
}

function refuseOutcome(
  outcome: 'other_request' | 'not_found' | 'nothing_quarantined',
  order: Pick<ChangeOrder, 'notFound' | 'notFoundHint'>,
): never {
  if (outcome === 'not_found') refuseUnknown(order);
  if (outcome === 'nothing_quarantined') {
    refuse('nothing_quarantined', {
      hint: 'This agent is not in quarantine; what the kill switch stopped is released there.',
    });
  }
  return refuse('idempotency_key_of_another_request', {
    hint: 'Use a new Idempotency-Key for a new request.',
  });
}
