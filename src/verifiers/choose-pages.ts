/**
 * Which pages of the ledger a batch of questions is answered by. Most verifiers ask for the same one, that of nothing
 * new. Whoever has a resource's key could ask for as many as there are questions, each a thousand entries long, and
 * keep everybody waiting for them; so a resource gets few of those that cost something, and the rest is put off.
 */
import type { Question } from '../revocations/ledger-message.ts';
import type { PageQuestion } from '../revocations/ledger-store.ts';
import type { ObservedHead } from '../revocations/ledger-trust.ts';
import type { ReceivedQuestion } from './question.ts';

export type ChosenPage = { name: string; question: PageQuestion };

/** Different long pages of one resource in one batch. Those who are behind are so together, since the same outage. */
const MAX_LONG_PAGES = 8;
/** A page from here on is short: verifiers that keep up are never put off, however fast the ledger grows. */
const SHORT_ENTRIES = 128;

const WHOLE: ChosenPage = { name: 'whole', question: { since: 0, generation: null, goOn: false } };

/**
 * @param head as this broker read it last, null when it knows none; it may be a moment old, and only decides what is
 *   put off, or answered by a whole copy where less would have been enough
 * @returns for each question its page, in their order; null for what is put off
 */
export function choosePages(
  asked: readonly ReceivedQuestion[],
  head: ObservedHead | null,
): (ChosenPage | null)[] {
  const longOnes = new Map<string, Set<string>>();
  return asked.map(({ question, resource }) => {
    const chosen = pageFor(question, head);
    if (chosen === WHOLE || isShort(question, head)) return chosen;
    const names = longOnes.get(resource.audience) ?? new Set();
    longOnes.set(resource.audience, names);
    if (!names.has(chosen.name) && names.size >= MAX_LONG_PAGES) return null;
    names.add(chosen.name);
    return chosen;
  });
}

/** Whoever knows nothing, another generation, or too little for what was pruned, begins anew: all with the same page. */
function pageFor({ applied_epoch: since, generation }: Question, head: ObservedHead | null): ChosenPage {
  const isUnknown = head !== null && (generation !== head.generation || since < head.floor);
  if (since === 0 || isUnknown) return WHOLE;
  return { name: `${since} ${generation}`, question: { since, generation, goOn: false } };
}

function isShort({ applied_epoch: since }: Question, head: ObservedHead | null): boolean {
  return head !== null && since >= head.epoch - SHORT_ENTRIES;
}
