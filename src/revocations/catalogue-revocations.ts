/**
 * What has to be revoked when a new version of the catalogue is applied (L24): whatever the new version would no
 * longer allow must not live on in tokens and sessions of the old one.
 */
import type { Action, Agent, Catalogue, DeclaredOperator, Zone } from '../catalogue/catalogue.ts';
import type { RevocationTarget } from './revocation.ts';

export type FollowingRevocation = { target: RevocationTarget; reason: string };

export function revocationsOf(before: Catalogue, after: Catalogue): FollowingRevocation[] {
  return [
    ...[...before.agents.values()].flatMap((agent) => ofAgent(agent, after.agents.get(agent.name))),
    ...[...before.operators.values()].flatMap((operator) =>
      ofOperator(operator, after.operators.get(operator.name)),
    ),
    ...[...before.actions.values()].flatMap((action) => ofAction(action, after.actions.get(action.name))),
    ...[...before.zones.values()].flatMap((zone) => ofZone(zone, after.zones.get(zone.name))),
    ...[...before.resources.keys()]
      .filter((audience) => !after.resources.has(audience))
      .map((id) => revoke('resource', id, 'the resource was removed from the catalogue')),
  ];
}

function ofAgent(before: Agent, after: Agent | undefined): FollowingRevocation[] {
  const because = (reason: string) => [revoke('agent', before.name, reason)];
  if (after === undefined) return because('the agent was removed from the catalogue');
  if (after.zone !== before.zone) return because('the agent was moved to another zone');
  if (before.may.some((action) => !after.may.includes(action)))
    return because('a grant was taken from the agent');
  if (lostKey(before, after)) return because('a key was taken from the agent');
  if (after.sessionSeconds < before.sessionSeconds)
    return because('the sessions of the agent were shortened');
  return [];
}

/** An operator is named as an agent is: one namespace of clients. */
function ofOperator(before: DeclaredOperator, after: DeclaredOperator | undefined): FollowingRevocation[] {
  const because = (reason: string) => [revoke('agent', before.name, reason)];
  if (after === undefined) return because('the operator was removed from the catalogue');
  if (before.roles.some((role) => !after.roles.includes(role)))
    return because('a role was taken from the operator');
  return lostKey(before, after) ? because('a key was taken from the operator') : [];
}

type KeyHolder = Pick<Agent, 'keys' | 'developmentKey'>;

function lostKey(before: KeyHolder, after: KeyHolder): boolean {
  const kept = new Set(after.keys.map((key) => JSON.stringify(key)));
  return (
    before.keys.some((key) => !kept.has(JSON.stringify(key))) ||
    (before.developmentKey && !after.developmentKey)
  );
}

const SENSITIVITIES = ['LOW', 'MED', 'HIGH'];
const APPROVALS = ['none', 'one', 'two'];

function ofAction(before: Action, after: Action | undefined): FollowingRevocation[] {
  const because = (reason: string) => [revoke('action', before.name, reason)];
  if (after === undefined) return because('the action was removed from the catalogue');
  if (after.resource !== before.resource) return because('the action was moved to another resource');
  if (after.zone !== before.zone) return because('the resource of the action was moved to another zone');
  if (SENSITIVITIES.indexOf(after.sensitivity) > SENSITIVITIES.indexOf(before.sensitivity)) {
    return because('the action became more sensitive, so leases on it are shorter');
  }
  if (APPROVALS.indexOf(after.approval) > APPROVALS.indexOf(before.approval)) {
    return because('the action needs more approval');
  }
  if (before.use === 'session' && after.use === 'request')
    return because('the action is now for single calls');
  if (after.lifetime.maxSeconds < before.lifetime.maxSeconds)
    return because('tokens for the action live shorter');
  return [];
}

function ofZone(before: Zone, after: Zone | undefined): FollowingRevocation[] {
  if (after === undefined) return [revoke('zone', before.name, 'the zone was removed from the catalogue')];
  if (before.mayCall.every((zone) => after.mayCall.includes(zone))) return [];
  return [revoke('zone', before.name, 'the zone may reach fewer zones')];
}

function revoke(
  kind: 'agent' | 'action' | 'zone' | 'resource',
  id: string,
  reason: string,
): FollowingRevocation {
  return { target: { kind, id }, reason };
}
