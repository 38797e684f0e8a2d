/**
 * May this operator have a token for that management action? The roles that the reviewed catalogue gives decide,
 * by mayfly's own table. An agent never gets a management action and an operator never gets another one, in the
 * words of an action that does not exist.
 */
import type { DeclaredOperator } from '../catalogue/catalogue.ts';
import { refuse } from '../errors/refusal.ts';
import {
  isManagementAction,
  type ManagementAction,
  managementAction,
  rolesMay,
} from '../operators/management-actions.ts';
import type { Grant } from './decide-grant.ts';
import type { TokenRequest } from './token-request.ts';

/**
 * @param issuer the resource of all management actions
 * @throws {Refusal}
 */
export function decideOperatorGrant(
  request: TokenRequest,
  { operator, issuer }: { operator: DeclaredOperator; issuer: string },
): Grant {
  const actions = request.actions.map((name) => grantedAction(name, operator));
  if (request.call !== undefined) {
    refuse('authorization_details_malformed', {
      hint: 'Management actions are had for a minute or more, not for one call.',
    });
  }
  refuseOtherResource(request.resource, issuer);
  const lifetimes = actions.map((action) => managementAction(action).lifetime);
  const wanted = request.ttlSeconds ?? Math.min(...lifetimes.map(({ defaultSeconds }) => defaultSeconds));
  return {
    actions: actions.sort(),
    resource: issuer,
    lifetimeSeconds: Math.min(wanted, ...lifetimes.map(({ maxSeconds }) => maxSeconds)),
    call: undefined,
  };
}

/** Unknown and not granted get the same answer, as for agents. */
function grantedAction(name: string, { name: operator, roles }: DeclaredOperator): ManagementAction {
  if (isManagementAction(name) && rolesMay(roles, name)) return name;
  return refuse('action_not_granted', {
    hint: `This operator may ask for what the roles in scopes/operators/${operator}.yaml give.`,
  });
}

/** An empty path may be written as `/` (RFC 3986 §6.2.3). */
function refuseOtherResource(resource: string | undefined, issuer: string): void {
  if (resource === undefined || resource === issuer || resource === `${issuer}/`) return;
  refuse('resource_unknown', {
    hint: 'The resource of management actions is the issuer; it can be left out.',
  });
}
