/**
 * Signed pages for whoever asks. Many who ask the same at once, such as all verifiers after a restart, share one
 * reading and one signature; but nobody is given a reading that was sent before they asked (L14).
 */
import { createLanes } from '../bounds/lanes.ts';
import type { LedgerStore, PageQuestion } from './ledger-store.ts';
import type { PageSigner, SignedPage } from './sign-page.ts';

export type PageReader = {
  /** @throws {Refusal} `temporarily_unavailable` when too many wait */
  read(question: PageQuestion): Promise<SignedPage>;
};

/** Different questions in one statement: each may be answered by a page of the longest. */
const MAX_BATCH = 16;
const MAX_WAITING = 8_192;

export function createPageReader({ store, sign }: { store: LedgerStore; sign: PageSigner }): PageReader {
  const lanes = createLanes<PageQuestion, SignedPage>({
    lanes: 1,
    maxBatch: MAX_WAITING,
    maxWaiting: MAX_WAITING,
    async run(questions) {
      const distinct = [...new Map(questions.map((question) => [nameOf(question), question])).values()];
      const pages = new Map<string, SignedPage>();
      for (let start = 0; start < distinct.length; start += MAX_BATCH) {
        const some = distinct.slice(start, start + MAX_BATCH);
        const read = await store.readPages(some);
        read.forEach((page, index) => {
          const question = some[index];
          if (question !== undefined) pages.set(nameOf(question), sign(page));
        });
      }
      return questions.map((question) => settle(pages.get(nameOf(question))));
    },
  });
  return { read: (question) => lanes.submit(question) };
}

function nameOf({ since, generation, goOn }: PageQuestion): string {
  return `${since} ${generation} ${goOn}`;
}

function settle(page: SignedPage | undefined): PromiseSettledResult<SignedPage> {
  return page === undefined
    ? { status: 'rejected', reason: new Error('a question about the ledger was left without a page') }
    : { status: 'fulfilled', value: page };
}
