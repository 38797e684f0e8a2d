/** Verifiers as operators see them: which enforcement points there are, and which of them has applied what. */
import { pageAnswer, readChoice, readPage } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import { isIdentifierOf } from '../time/identifier.ts';
import { type ListedVerifier, VERIFIER_STATES, type VerifierListStore } from './verifier-list-store.ts';

export type VerifierRoutes = { list: (call: Call) => Promise<Answer> };

export function createVerifierRoutes({ store }: { store: VerifierListStore }): VerifierRoutes {
  return {
    async list({ query }) {
      const page = readPage(query, {
        filters: ['resource', 'state'],
        isIdentifier: (text) => isIdentifierOf('ver', text),
      });
      const filters = {
        resource: query.one('resource'),
        state: readChoice(query, 'state', VERIFIER_STATES),
      };
      const verifiers = await store.list(filters, { after: page.after, atMost: page.limit + 1 });
      return pageAnswer(verifiers, {
        limit: page.limit,
        identify: ({ instance }) => instance,
        tell: tellVerifier,
      });
    },
  };
}

function tellVerifier(verifier: ListedVerifier) {
  return {
    instance: verifier.instance,
    resource: verifier.resource,
    state: verifier.state,
    started_at: verifier.startedAt.toISOString(),
    renewed_at: verifier.renewedAt.toISOString(),
    generation: verifier.generation,
    applied_epoch: verifier.appliedEpoch,
    ...lagOf(verifier),
    lease_seconds: verifier.leaseSeconds,
    lease_ends_at: verifier.leaseEndsAt.toISOString(),
  };
}

/** Whoever is closed has nothing more to apply. */
function lagOf({ state, lagEpochs, lagSeconds }: ListedVerifier) {
  if (state === 'closed') return { lag_epochs: null, lag_seconds: null };
  return { lag_epochs: lagEpochs, lag_seconds: Math.round(lagSeconds * 1000) / 1000 };
}
