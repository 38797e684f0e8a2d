/**
 * What can be done at mayfly itself, and who may: the closed table of `mayfly:verb:resource` actions, each with the
 * roles that have it. Policy hands roles out (`scopes/operators/`) and cannot change what a role is.
 *
 * The resource of these actions is mayfly: the audience of a token for them is the issuer. Wide revocations pass
 * such tokens by (ledger rule L4), so that a kill of everything can be read and released.
 */
import type { Sensitivity } from '../catalogue/catalogue.ts';
import type { Role } from '../catalogue/roles.ts';

export type ManagementActionFacts = {
  /** What it allows, in plain words. */
  title: string;
  sensitivity: Sensitivity;
  lifetime: { defaultSeconds: number; maxSeconds: number };
  /** Any one of them is enough. */
  roles: readonly Role[];
};

/** Reading may take a while; what changes something is asked for right before it is done. */
const READING = { defaultSeconds: 300, maxSeconds: 900 };
const CHANGING = { defaultSeconds: 120, maxSeconds: 300 };
const DRASTIC = { defaultSeconds: 60, maxSeconds: 300 };

const ACTORS: readonly Role[] = ['admin', 'security'];
const READERS: readonly Role[] = ['admin', 'auditor', 'security'];
/** Who is asked for a yes has to see who asks. */
const EVERYBODY: readonly Role[] = ['admin', 'approver', 'auditor', 'security'];

const reading = (title: string, roles: readonly Role[] = READERS) =>
  ({ title, sensitivity: 'LOW', lifetime: READING, roles }) as const;
const changing = (title: string, roles: readonly Role[] = ACTORS) =>
  ({ title, sensitivity: 'MED', lifetime: CHANGING, roles }) as const;
const drastic = (title: string, roles: readonly Role[] = ACTORS) =>
  ({ title, sensitivity: 'HIGH', lifetime: DRASTIC, roles }) as const;

export const MANAGEMENT_ACTIONS = {
  'mayfly:read:sessions': reading('See sessions and their state', EVERYBODY),
  'mayfly:revoke:sessions': changing('End a session and every token in it'),
  'mayfly:read:tokens': reading('See what a token is for and whether it is alive'),
  'mayfly:revoke:tokens': changing('Revoke one token'),
  'mayfly:read:agents': reading('See agents and operators, and who of them is stopped', EVERYBODY),
  'mayfly:revoke:agents': changing('Revoke every token and session that an agent has so far'),
  'mayfly:quarantine:agents': changing('Stop an agent until it is released'),
  'mayfly:release:agents': changing('Release an agent from quarantine'),
  'mayfly:read:signing-keys': reading('See the keys that sign tokens and ledger messages'),
  'mayfly:revoke:signing-keys': drastic('Revoke a signing key, and with it everything that it signed'),
  'mayfly:read:revocations': reading('Read the revocation ledger'),
  'mayfly:read:verifiers': reading('See which verifiers have applied what'),
  'mayfly:read:kill-switch': reading('See what the kill switch stops, and its receipts'),
  'mayfly:engage:kill-switch': drastic(
    'Stop a zone, an action, a resource, an agent, a person or everything',
  ),
  'mayfly:release:kill-switch': drastic('Release what another operator stopped'),
  'mayfly:run:drills': changing('Test the kill switch on a canary'),
  'mayfly:read:audit': reading('Read the record', ['auditor', 'security']),
} as const satisfies Record<`mayfly:${string}:${string}`, ManagementActionFacts>;

export type ManagementAction = keyof typeof MANAGEMENT_ACTIONS;

export function isManagementAction(name: string): name is ManagementAction {
  return Object.hasOwn(MANAGEMENT_ACTIONS, name);
}

export function managementAction(name: ManagementAction): ManagementActionFacts {
  return MANAGEMENT_ACTIONS[name];
}

export function rolesMay(roles: readonly Role[], action: ManagementAction): boolean {
  return managementAction(action).roles.some((role) => roles.includes(role));
}

/**
 * The zone of operators, in tokens and sessions: reserved, so that no agent and no resource can live in it, and
 * nothing in policy reaches it.
 */
export const OPERATOR_ZONE = 'mayfly';

/** A working day. Tokens within it live minutes. */
export const OPERATOR_SESSION_SECONDS = 28_800;
