/**
 * A receipt says which enforcement points have applied an entry of the ledger, and by when the others have stopped by
 * themselves: `mayfly-receipt+jwt`, signed with a ledger key (L11, L20–L22). It is made of what the database keeps and
 * of nothing else, no clock of a broker's included, so that the same facts are the same receipt whenever and by
 * whichever broker it is made: what is not known yet can only be added.
 *
 * AWS takes what it gave until it ends, whatever an entry says: of that the receipt says how much there is, and until
 * when.
 *
 * What it does not say: anything of servers that only introspect, of work that was decided before, of a verifier that
 * acknowledges falsely, of a machine that was frozen with all its clocks.
 */
import { z } from 'zod';
import { type MessageSigner, RECEIPT_TYPE, signMessage } from './ledger-message.ts';
import { TARGET_KINDS } from './revocation.ts';

/** Milliseconds, UTC. What happened is rounded up, as is what will have happened. */
const moment = z.iso.datetime({ precision: 3 });

export const receiptInstanceSchema = z
  .object({
    /** Of one `createVerifier()` call. */
    instance: z.string().max(64),
    /** Audience of its resource. */
    resource: z.string().max(512),
    /** It decided nothing from then on without this entry. */
    applied_at: moment.optional(),
    /** It has not said that it applied the entry; from then on it decides nothing unless it has. */
    stops_at: moment.optional(),
  })
  .refine(({ applied_at, stops_at }) => (applied_at === undefined) !== (stops_at === undefined));

/**
 * `none`: nobody asked mayfly to. `put`: IAM has taken it, and spreads it within seconds, but promises no moment.
 * `failed`: not yet, when it was last tried; it is tried again while there is something to deny.
 */
const receiptDenySchema = z
  .object({
    state: z.enum(['none', 'wanted', 'put', 'failed']),
    put_at: moment.optional(),
    failed_at: moment.optional(),
  })
  .refine(({ state, put_at }) => (state === 'put') === (put_at !== undefined))
  .refine(({ state, failed_at }) => (state === 'failed') === (failed_at !== undefined));

/** What AWS still takes of what agents were given under tokens that the entry kills. */
export const receiptAwsSchema = z.object({
  /** So many at most, at the moment of the commit: every answer counts that may have reached somebody. */
  credentials: z.int().nonnegative(),
  /** Of the last of them; absent when there are none. The policy in them denies everything from then on. */
  live_until: moment.optional(),
  /** Those that the database has forgotten, after a failover that lost something, end by then (L25). */
  unlisted_live_until: moment.optional(),
  roles: z.array(
    z.object({
      role_arn: z.string().max(512),
      credentials: z.int().positive(),
      live_until: moment,
      /** Whether a policy on the role denies them before that; absent in receipts of before there was any. */
      deny: receiptDenySchema.optional(),
    }),
  ),
});

export const receiptSchema = z.object({
  iss: z.string(),
  /** Of the newest moment that it states. */
  iat: z.int().positive(),
  id: z.string().max(64),
  epoch: z.int().positive(),
  generation: z.int().positive(),
  /** Of the ledger up to and with this entry, base64url: what the entry comes after cannot be denied. */
  digest: z.string().length(43),
  target: z
    .object({ kind: z.enum(TARGET_KINDS), id: z.string().max(512).optional() })
    .refine(({ kind, id }) => (kind === 'all') === (id === undefined)),
  /** True when it also stops what is minted later, until it is released. */
  standing: z.boolean(),
  /** The epoch of the standing entry that this one releases. */
  releases: z.int().positive().optional(),
  reason: z.string().max(2_000),
  actor: z.string().max(512),
  /** The database's clock, read after the commit. */
  committed_at: moment,
  /** False while nobody knows whether the synchronous standby has it. */
  replicated: z.boolean(),
  /** Instances that the database has forgotten, after a failover that lost something, have stopped by then (L25). */
  unlisted_stop_at: moment.optional(),
  /** All that were live when the entry was committed, by name. */
  verifiers: z.array(receiptInstanceSchema),
  /** Absent in a receipt for a release, and in those of before there was anything to say. */
  aws: receiptAwsSchema.optional(),
});

export type Receipt = z.infer<typeof receiptSchema>;
export type ReceiptAws = z.infer<typeof receiptAwsSchema>;
export type ReceiptInstance = z.infer<typeof receiptInstanceSchema>;

/** What the database keeps of an entry and of those who have to apply it. */
export type SettledEntry = Omit<Receipt, 'iss' | 'iat'> & {
  /** When the switch was engaged, or the entry made otherwise. */
  at: string;
  /** Every instance has applied it or stopped, and it is replicated: now, on the database's clock (L21). */
  complete: boolean;
};

export function receiptOf(
  { at: _, complete: __, ...facts }: SettledEntry,
  { issuer }: { issuer: string },
): Receipt {
  const denies = facts.aws?.roles.flatMap(({ deny }) => deny?.put_at ?? deny?.failed_at ?? []) ?? [];
  const applied = facts.verifiers.flatMap(({ applied_at }) => applied_at ?? []);
  const moments = [facts.committed_at, ...applied, ...denies];
  return { iss: issuer, iat: Math.ceil(Math.max(...moments.map(Date.parse)) / 1_000), ...facts };
}

/** Compact JWS. The same facts under the same key are the same text, for Ed25519 has no randomness. */
export function signReceipt(receipt: Receipt, signer: MessageSigner): string {
  return signMessage(RECEIPT_TYPE, receipt, signer);
}
