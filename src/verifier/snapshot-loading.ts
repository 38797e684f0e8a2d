/** The pages of a whole copy of the ledger, until they are all here (L3). */
import { copyOfSnapshot, type LedgerCopy } from '../revocations/ledger-copy.ts';
import type { LedgerPage } from '../revocations/ledger-entry.ts';

export type SignedPage = {
  page: LedgerPage;
  /** `kid` of the ledger key. */
  signedBy: string;
};

export type SnapshotLoading = {
  /** How far the pages go; null while there is none. */
  through(): number | null;
  /** @returns all pages with the last one; `apart` when this one does not go on from the one before */
  add(signed: SignedPage): 'incomplete' | 'apart' | 'too long' | readonly SignedPage[];
  clear(): void;
};

/** Half a million entries. */
const MAX_SNAPSHOT_PAGES = 500;

export function createSnapshotLoading(): SnapshotLoading {
  let loading: SignedPage[] = [];

  return {
    through: () => loading.at(-1)?.page.through ?? null,

    add(signed) {
      const { page } = signed;
      const last = loading.at(-1)?.page;
      if (page.since === 0) {
        // Each answer begins with the first page; whoever began anew each time would never come to the last.
        if (last !== undefined && last.floor === page.floor) return 'incomplete';
        loading = [];
      } else if (last?.through !== page.since) {
        return 'apart';
      } else if ((page.snapshot && page.floor !== last.floor) || !isNextTo(last, page)) {
        // A release between two floors is in neither page, and pages of two ledgers are a copy of neither: begin anew.
        loading = [];
        return 'incomplete';
      }
      if (loading.length === MAX_SNAPSHOT_PAGES) {
        loading = [];
        return 'too long';
      }
      loading.push(signed);
      if (page.through < page.head.epoch) return 'incomplete';
      const pages = loading;
      loading = [];
      return pages;
    },

    clear() {
      loading = [];
    },
  };
}

/** The horizon moves while a copy is fetched: its last pages may be ordinary ones. */
export function copyOfPages(pages: readonly LedgerPage[]): LedgerCopy | null {
  const copy = copyOfSnapshot(pages.filter(({ snapshot }) => snapshot));
  const isWhole = pages.every((page) => page.snapshot || copy?.append(page) === true);
  return isWhole ? copy : null;
}

/** The digest of a ledger says what all of it is, so equal digests are one past. */
function isNextTo({ entries, through }: LedgerPage, { since_digest }: LedgerPage): boolean {
  const last = entries.at(-1);
  return last?.epoch !== through || since_digest === null || last.digest === since_digest;
}
