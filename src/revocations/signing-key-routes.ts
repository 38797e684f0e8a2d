/** The keys of the ring as operators see and revoke them. Nothing here can make one, or show a secret. */
import { refuse } from '../errors/refusal.ts';
import { pageAnswer, readChoice, readPage, refuseCursor } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import type { KeyListing } from '../signing-keys/key-operations.ts';
import { ALL_KEY_PURPOSES } from '../signing-keys/key-state.ts';
import type { ManagedChangeStore } from './managed-change-store.ts';
import type { ManagedChanges } from './managed-changes.ts';

export type SigningKeyRoutes = {
  list: (call: Call) => Promise<Answer>;
  revoke: (call: Call, operator: Operator) => Promise<Answer>;
};

const REFRESH_MILLISECONDS = 1_000;

export function createSigningKeyRoutes(options: {
  ring: { list(): Promise<KeyListing[]>; refresh(): Promise<void> };
  changes: ManagedChanges;
  changeStore: ManagedChangeStore;
}): SigningKeyRoutes {
  const { ring, changes, changeStore } = options;
  return {
    async list({ query }) {
      const { after, limit } = readPage(query, { filters: ['purpose'], isIdentifier });
      const purpose = readChoice(query, 'purpose', ALL_KEY_PURPOSES);
      const keys = (await ring.list())
        .filter((key) => purpose === undefined || key.purpose === purpose)
        .sort((one, other) => other.publishedAtMilliseconds - one.publishedAtMilliseconds);
      const last = keys.findIndex(({ kid }) => kid === after);
      if (after !== null && last === -1) refuseCursor(); // or a reader would begin again, and again
      return pageAnswer(keys.slice(last + 1), { limit, identify: ({ kid }) => kid, tell: tellKey });
    },

    async revoke(call, operator) {
      const kid = kidOf(call.params.kid);
      return changes.answer(
        {
          target: async () => {
            const isKnown = (await ring.list()).some((key) => key.kid === kid);
            return isKnown ? { kind: 'signing-key', id: kid } : null;
          },
          async make(change) {
            const outcome = await changeStore.revokeSigningKey(kid, change);
            await refreshSoon(ring);
            return outcome;
          },
          notFound: 'signing_key_not_found',
        },
        call,
        operator,
      );
    },
  };
}

/** Its successor signs at once. The key is revoked by then: what holds that up, such as a standby, is no answer to it. */
async function refreshSoon(ring: { refresh(): Promise<void> }): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, REFRESH_MILLISECONDS);
  });
  await Promise.race([ring.refresh().catch(() => {}), patience]); // the ring is read again every few seconds
  clearTimeout(timer);
}

function tellKey(key: KeyListing) {
  return {
    kid: key.kid,
    purpose: key.purpose,
    generation: key.generation,
    state: key.state,
    published_at: timeOf(key.publishedAtMilliseconds),
    active_from: timeOf(key.activeFromMilliseconds),
    retire_at: timeOf(key.retireAtMilliseconds),
    revoked_at: timeOf(key.revokedAtMilliseconds),
  };
}

function timeOf(milliseconds: number | null): string | null {
  return milliseconds === null ? null : new Date(milliseconds).toISOString();
}

function kidOf(text = ''): string {
  return isIdentifier(text) ? text : refuse('signing_key_not_found');
}

/** An RFC 7638 thumbprint. */
function isIdentifier(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}
