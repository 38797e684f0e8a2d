/**
 * The ledger as it travels: entries and pages of them (L3, L5). Only what the rule needs: no reason and no name of
 * whoever revoked, since a verifier has no business with either.
 */
import { z } from 'zod';
import { ledgerKey, type Revocation, TARGET_KINDS } from './revocation.ts';

const epoch = z.int().nonnegative();
/** Running SHA-256 over every entry of the ledger up to an epoch, base64url. */
const digest = z.string().length(43);

export const ledgerEntrySchema = z
  .object({
    epoch: epoch.positive(),
    /** Of the ledger up to and with this entry: two ledgers that say different things at one epoch show it here. */
    digest,
    kind: z.enum(TARGET_KINDS),
    /** Empty only for `all`. */
    target: z.string().max(512),
    standing: z.boolean(),
    /** The epoch of the standing entry that this one releases; such an entry kills nothing itself. */
    releases: epoch.positive().nullable(),
    /** The epoch at which it was released, as far as the page reaches. */
    released_epoch: epoch.positive().nullable(),
  })
  .refine(({ kind, target }) => (kind === 'all') === (target === ''));

export type LedgerEntry = z.infer<typeof ledgerEntrySchema>;

/** An entry as the rule reads it. */
export function revocationOf(entry: LedgerEntry): Revocation {
  const { epoch, kind, target, standing, releases, released_epoch: releasedEpoch } = entry;
  const key = ledgerKey(kind === 'all' ? { kind } : { kind, id: target });
  return { epoch, key, standing, releases, releasedEpoch };
}

export const MAX_PAGE_ENTRIES = 1_000;

/** Whoever reads pages may be older than whoever writes them: members that it does not know mean nothing to it. */
export const ledgerPageSchema = z.object({
  generation: z.int().positive(),
  /** True for every page of a full copy, which takes the place of everything known before. */
  snapshot: z.boolean(),
  /** Ordinary entries at or below it are left out: no token that they could kill is alive. */
  floor: epoch,
  /** Only entries after it are in the page (standing and signing-key ones of a snapshot excepted). */
  since: epoch,
  /** Of the ledger at `since`; null at 0, and where the entry at `since` is gone. */
  since_digest: digest.nullable(),
  /** The page says all there is to say up to here. */
  through: epoch,
  /** The newest entry of the ledger when the page was read; equal to `through` on the last page. */
  head: z.object({ epoch, digest }),
  entries: z.array(ledgerEntrySchema).max(MAX_PAGE_ENTRIES),
});

export type LedgerPage = z.infer<typeof ledgerPageSchema>;
