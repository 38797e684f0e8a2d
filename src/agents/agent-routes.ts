/**
 * Agents and operators as operators see and stop them. `{id}` is a name, or the id of an identity: names are what
 * people know, an id still means the same one after its name was declared anew.
 */
import type { Catalogue } from '../catalogue/catalogue.ts';
import { didYouMean } from '../errors/nearest-name.ts';
import { refuse } from '../errors/refusal.ts';
import { pageAnswer, readChoice, readPage } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import type { Operator } from '../operators/operator-guard.ts';
import type { Change } from '../operators/read-change.ts';
import type { ChangeOutcome, Confirmed, ManagedChangeStore } from '../revocations/managed-change-store.ts';
import type { ManagedChanges } from '../revocations/managed-changes.ts';
import { isIdentifierOf } from '../time/identifier.ts';
import type { AgentStore, StoppingEntry, StoredAgent } from './agent-store.ts';

type ChangeRoute = (call: Call, operator: Operator) => Promise<Answer>;

export type AgentRoutes = {
  list: (call: Call) => Promise<Answer>;
  read: (call: Call) => Promise<Answer>;
  revoke: ChangeRoute;
  quarantine: ChangeRoute;
  release: ChangeRoute;
};

/** Every name and every id; what is longer or spelled otherwise is nobody's. */
const NAME_OR_ID = /^[a-z][a-z0-9_-]{0,63}$/;

export function createAgentRoutes(options: {
  store: AgentStore;
  catalogue: Pick<Catalogue, 'agents' | 'operators'>;
  changes: ManagedChanges;
  changeStore: ManagedChangeStore;
}): AgentRoutes {
  const { store, catalogue, changes, changeStore } = options;

  const hintFor = (named: string) =>
    `${didYouMean(named, [...catalogue.agents.keys(), ...catalogue.operators.keys()])}No agent or operator has that name or id.`;

  const changing =
    (make: (agent: string, change: Change) => Promise<Confirmed<ChangeOutcome>>): ChangeRoute =>
    (call, operator) => {
      const named = agentOf(call.params.id);
      const order = {
        target: async () => {
          const agent = await store.find(named);
          const isDeclared = agent !== null && agent.removedAt === null;
          return isDeclared ? ({ kind: 'agent', id: agent.name } as const) : null;
        },
        make: (change: Change) => make(named, change),
        notFound: 'agent_not_found',
        notFoundHint: () => hintFor(named),
      } as const;
      return changes.answer(order, call, operator);
    };

  /** Out of this broker's files; nothing where they do not declare it. */
  function declarationOf({ name, kind }: StoredAgent) {
    const agent = kind === 'agent' ? catalogue.agents.get(name) : undefined;
    const operator = kind === 'operator' ? catalogue.operators.get(name) : undefined;
    return {
      title: (agent ?? operator)?.title ?? null,
      owner: agent?.owner ?? null,
      zone: agent?.zone ?? null,
      actions: agent?.may ?? [],
      roles: operator?.roles ?? [],
    };
  }

  const tellAgent = (agent: StoredAgent) => ({
    id: agent.id,
    name: agent.name,
    kind: agent.kind,
    ...declarationOf(agent),
    created_at: agent.createdAt.toISOString(),
    removed_at: agent.removedAt?.toISOString() ?? null,
    stopped_by: agent.stoppedBy.map(tellEntry),
    partly_stopped_by: agent.partlyStoppedBy.map(tellEntry),
    open_sessions: agent.openSessions,
  });

  return {
    async list({ query }) {
      const { after, limit } = readPage(query, { filters: ['kind', 'stopped'], isIdentifier });
      const stopped = readChoice(query, 'stopped', ['true', 'false']);
      const filters = {
        kind: readChoice(query, 'kind', ['agent', 'operator', 'canary']),
        stopped: stopped === undefined ? undefined : stopped === 'true',
      };
      const agents = await store.list(filters, { after, atMost: limit + 1 });
      return pageAnswer(agents, { limit, identify: ({ id }) => id, tell: tellAgent });
    },

    async read({ params }) {
      const named = agentOf(params.id);
      const agent = (await store.find(named)) ?? refuse('agent_not_found', { hint: hintFor(named) });
      return { body: tellAgent(agent) };
    },

    revoke: changing((id, change) => changeStore.revoke({ kind: 'agent', id }, change)),
    quarantine: changing(changeStore.quarantine),
    release: changing(changeStore.release),
  };
}

function tellEntry({ kind, target, at, ...entry }: StoppingEntry) {
  const named = kind === 'all' ? { kind } : { kind, id: target };
  return { ...entry, target: named, at: new Date(at).toISOString() };
}

function agentOf(text = ''): string {
  return NAME_OR_ID.test(text) ? text : refuse('agent_not_found');
}

function isIdentifier(text: string): boolean {
  return isIdentifierOf('agt', text) || isIdentifierOf('opr', text);
}
