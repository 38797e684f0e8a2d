/**
 * An agent or an operator asks what it is to the broker: `whoami`. It authenticates as for a token, and so finds out
 * whether its key, its clock and its nonces are good; nothing is minted and no session is opened, so that whoever is
 * stopped is told so, and by which entry of the ledger. Why, and who said so, is for operators: the key of who is
 * stopped may be in other hands.
 */
import { z } from 'zod';
import type { AuditEntry } from '../audit/audit-entry.ts';
import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import type { Action, Catalogue } from '../catalogue/catalogue.ts';
import type { PossessionReader } from '../dpop/possession.ts';
import type { SpentKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import {
  isManagementAction,
  MANAGEMENT_ACTIONS,
  managementAction,
  rolesMay,
} from '../operators/management-actions.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { AgentStore, StoppingEntry } from './agent-store.ts';
import type { ClientAuthenticator } from './authenticate-client.ts';
import type { AgentClient, OperatorClient } from './client.ts';
import { credentialsOfJson } from './client-credentials.ts';

export const OWN_AGENT_PATH = '/v1/agents/current';

export type OwnAgentRoutes = { read: (call: Call) => Promise<Answer> };

export type OwnAgentOptions = {
  authenticator: ClientAuthenticator;
  possessionOf: PossessionReader;
  store: Pick<AgentStore, 'standing'>;
  /** @returns false when the assertion was used before */
  spend: (spending: { assertion: SpentKey; entry: AuditEntry }) => Promise<boolean>;
  catalogue: ActiveCatalogue;
  /** The resource of management actions. */
  issuer: string;
  clock: Clock;
};

/** An action that the client may ask for, and what a token for it takes. */
type ActionInShort = Pick<Action, 'name' | 'resource' | 'use' | 'approval' | 'lifetime'> & {
  aws?: unknown;
};

const bodySchema = z.strictObject({ client_assertion: z.string(), client_assertion_type: z.string() });

export function createOwnAgentRoutes(options: OwnAgentOptions): OwnAgentRoutes {
  const { authenticator, possessionOf, store, spend, catalogue, issuer, clock } = options;

  function entryOf({ requestId, source }: Call, id: string, jkt: string): AuditEntry {
    const agent = catalogue.appliedFor(id)?.agentIds.get(id);
    return {
      id: newIdentifier('aud', clock),
      action: 'agent.read',
      outcome: 'allowed',
      requestId,
      actor: id,
      details: { source: source.address, jkt, ...(agent === undefined ? {} : { agent }) },
    };
  }

  return {
    async read(call) {
      const { client, kid, assertion } = authenticator.authenticate(credentialsOfJson(call), call);
      if (client.kind === 'resource') {
        refuse('client_is_no_agent', { hint: 'Agents and operators ask who they are.' });
      }
      requireNothingElse(call.json);
      const { jkt } = possessionOf(call);
      if (!(await spend({ assertion, entry: entryOf(call, client.id, jkt) }))) refuse('assertion_replayed');
      const standing = await store.standing(client.id);
      const actions =
        client.kind === 'operator' ? managementOf(client, issuer) : actionsOf(client, catalogue.catalogue);
      const { stoppedBy = [], partlyStoppedBy = [] } = standing ?? {};
      return {
        body: {
          name: client.id,
          kind: client.kind,
          id: standing?.id ?? null,
          ...declarationOf(client),
          kid: kid ?? null,
          catalogue: {
            digest: catalogue.catalogue.digest,
            applied: catalogue.appliedFor(client.id) !== null,
          },
          stopped_by: stoppedBy.map(tellEntry),
          actions: actions.map((action) => tellAction(action, partlyStoppedBy)),
        },
      };
    },
  };
}

function requireNothingElse(json: unknown): void {
  if (bodySchema.safeParse(json).success) return;
  refuse('parameter_invalid', { hint: 'The members are client_assertion and client_assertion_type.' });
}

function declarationOf(client: AgentClient | OperatorClient) {
  if (client.kind === 'operator') {
    const { title, roles } = client.operator;
    return { title, owner: null, zone: null, roles, session_seconds: null };
  }
  const { title, owner, zone, sessionSeconds } = client.agent;
  return { title, owner, zone, roles: [], session_seconds: sessionSeconds };
}

function managementOf({ operator }: OperatorClient, resource: string): ActionInShort[] {
  const names = Object.keys(MANAGEMENT_ACTIONS).filter(isManagementAction);
  return names
    .filter((name) => rolesMay(operator.roles, name))
    .map((name) => ({
      name,
      resource,
      use: 'session',
      approval: 'none',
      lifetime: managementAction(name).lifetime,
    }));
}

function actionsOf({ agent }: AgentClient, { actions }: Catalogue): ActionInShort[] {
  return agent.may.flatMap((name) => actions.get(name) ?? []);
}

function tellAction(action: ActionInShort, partly: readonly StoppingEntry[]) {
  const { name, resource, use, approval, lifetime, aws } = action;
  const hits = ({ kind, target }: StoppingEntry) => target === (kind === 'action' ? name : resource);
  return {
    name,
    resource,
    use,
    approval,
    default_seconds: lifetime.defaultSeconds,
    max_seconds: lifetime.maxSeconds,
    aws: aws !== undefined,
    stopped_by: partly.filter(hits).map(tellEntry),
  };
}

function tellEntry({ id, epoch, kind, target, at }: StoppingEntry) {
  const named = kind === 'all' ? { kind } : { kind, id: target };
  return { id, epoch, target: named, at: new Date(at).toISOString() };
}
