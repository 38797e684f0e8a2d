/** The offers of one run, opened one after the other: each is told what those before it give to the program. */
import type { Offer, OpenOffer, RunContext } from './offer.ts';

export type Offers = {
  open(opening: readonly OpenOffer[], context: Omit<RunContext, 'offered'>): Promise<void>;
  /** Those that are open by now. */
  opened(): readonly Offer[];
  /** Never rejects: one that does not end well keeps nothing else from ending. */
  close(): Promise<void>;
};

export function createOffers(): Offers {
  const offers: Offer[] = [];
  const offered = () => Object.assign({}, ...offers.map(({ environment }) => environment));
  return {
    async open(opening, context) {
      for (const openOffer of opening) offers.push(await openOffer({ ...context, offered: offered() }));
    },
    opened: () => offers,
    async close() {
      await Promise.allSettled(offers.map((offer) => offer.close()));
    },
  };
}
