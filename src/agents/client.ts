/**
 * Who can authenticate at the broker: the agents, the resource servers and the operators that the catalogue
 * declares. A client id is a name from the reviewed files, compared byte by byte; keys come from there too, never
 * from a request.
 */
import type { Agent, Catalogue, DeclaredOperator, Resource } from '../catalogue/catalogue.ts';
import { type PublicJwk, parseVerificationKey, type VerificationKey } from '../jws/jwk.ts';

export type ClientKey = { kid: string | undefined; key: VerificationKey };

export type AgentClient = { kind: 'agent'; id: string; agent: Agent; keys: readonly ClientKey[] };
export type ResourceClient = { kind: 'resource'; id: string; resource: Resource; keys: readonly ClientKey[] };
export type OperatorClient = {
  kind: 'operator';
  id: string;
  operator: DeclaredOperator;
  keys: readonly ClientKey[];
};
export type Client = AgentClient | ResourceClient | OperatorClient;

export type ClientDirectory = ReadonlyMap<string, Client>;

/** Public keys that this broker made for a development catalogue, by client id. */
export type DevelopmentKeys = ReadonlyMap<string, ClientKey>;

export function clientsOf(catalogue: Catalogue, developmentKeys: DevelopmentKeys): ClientDirectory {
  const keysOf = (id: string, declared: readonly PublicJwk[]): ClientKey[] => {
    const extra = developmentKeys.get(id);
    const keys = declared.map((jwk) => ({ kid: jwk.kid, key: parseVerificationKey(jwk) }));
    return extra === undefined ? keys : [...keys, extra];
  };
  const agents = [...catalogue.agents.values()].map(
    (agent): Client => ({ kind: 'agent', id: agent.name, agent, keys: keysOf(agent.name, agent.keys) }),
  );
  const resources = [...catalogue.resources.values()].map(
    (resource): Client => ({
      kind: 'resource',
      id: resource.audience,
      resource,
      keys: keysOf(resource.audience, resource.keys),
    }),
  );
  const operators = [...catalogue.operators.values()].map(
    (operator): Client => ({
      kind: 'operator',
      id: operator.name,
      operator,
      keys: keysOf(operator.name, operator.keys),
    }),
  );
  return new Map([...agents, ...operators, ...resources].map((client) => [client.id, client]));
}
