/** Sessions as operators see and end them: parse, call one verb, answer. */
import { refuse } from '../errors/refusal.ts';
import { pageAnswer, readChoice, readPage } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import type { Change } from '../operators/read-change.ts';
import type { ManagedChangeStore } from '../revocations/managed-change-store.ts';
import type { ManagedChanges } from '../revocations/managed-changes.ts';
import { isIdentifierOf } from '../time/identifier.ts';
import type { SessionStore, StoredSession } from './session-store.ts';

export type SessionRoutes = {
  list: (call: Call) => Promise<Answer>;
  read: (call: Call) => Promise<Answer>;
  revoke: (call: Call, operator: Operator) => Promise<Answer>;
};

const FILTERS = ['agent', 'kind', 'zone', 'state'];

export function createSessionRoutes(options: {
  store: SessionStore;
  changes: ManagedChanges;
  changeStore: ManagedChangeStore;
}): SessionRoutes {
  const { store, changes, changeStore } = options;

  return {
    async list({ query }) {
      const page = readPage(query, { filters: FILTERS, isIdentifier: isSessionId });
      const filters = {
        clientId: query.one('agent'),
        kind: readChoice(query, 'kind', ['agent', 'operator', 'canary']),
        zone: query.one('zone'),
        state: readChoice(query, 'state', ['open', 'ended']),
      };
      const sessions = await store.list(filters, { after: page.after, atMost: page.limit + 1 });
      return pageAnswer(sessions, { limit: page.limit, identify: ({ id }) => id, tell: tellSession });
    },

    async read({ params }) {
      const id = sessionIdOf(params.id);
      const session = (await store.find(id)) ?? refuse('session_not_found');
      return { body: { ...tellSession(session), live_tokens: session.liveTokens } };
    },

    async revoke(call, operator) {
      const id = sessionIdOf(call.params.id);
      const target = { kind: 'session', id } as const;
      const order = {
        target: async () => ((await store.find(id)) === null ? null : target),
        make: (change: Change) => changeStore.revoke(target, change),
        notFound: 'session_not_found',
      } as const;
      return changes.answer(order, call, operator);
    },
  };
}

function tellSession(session: StoredSession) {
  return {
    id: session.id,
    agent: session.clientId,
    agent_id: session.agentId,
    kind: session.kind,
    zone: session.zone,
    jkt: session.jkt,
    epoch: session.openedEpoch,
    opened_at: session.openedAt.toISOString(),
    expires_at: session.expiresAt.toISOString(),
    state: session.state,
    ended_by: session.endedBy,
  };
}

/** What is no identifier names no session; the database is not asked. */
function sessionIdOf(text: string | undefined): string {
  return text !== undefined && isSessionId(text) ? text : refuse('session_not_found');
}

function isSessionId(text: string): boolean {
  return isIdentifierOf('ses', text);
}
