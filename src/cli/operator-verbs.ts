/**
 * What operators can say: noun × verb, each one request of the management API (`openapi.yaml`). Three kinds cover
 * nearly all of them: a list, one thing, a change. Whatever is in here has no power of its own; the broker decides.
 */
import type { Command } from 'commander';
import type { Environment } from '../config/environment.ts';
import type { ManagementAction } from '../operators/management-actions.ts';

type Named = {
  noun: string;
  verb: string;
  about: string;
  /** The action that its token is for. */
  may: ManagementAction;
  /** As `openapi.yaml` writes it; what is in braces is an argument of the command. */
  path: string;
};

export type ListVerb = Named & {
  kind: 'list';
  /** Members that make a good table; JSON has all of them. */
  columns: readonly string[];
  /** Parameters of the query, and what they are for. */
  filters?: Readonly<Record<string, string>>;
};

export type ShowVerb = Named & { kind: 'show' };

export type ChangeVerb = Named & {
  kind: 'change';
  /** What a person at a terminal is asked, with the arguments in braces. */
  asks: string;
};

export type OperatorVerb = ListVerb | ShowVerb | ChangeVerb;

/** A command that is more than one request, or none at all; it has a file of its own. */
export type OtherVerb = {
  noun: string;
  verb: string;
  may: ManagementAction | null;
  load: (environment: Environment) => Promise<Command>;
};

export const OTHER_VERBS: readonly OtherVerb[] = [
  {
    noun: 'session',
    verb: 'watch',
    may: 'mayfly:read:sessions',
    load: async (environment) => (await import('./watch-command.ts')).watchCommand(environment),
  },
];

export const OPERATOR_VERBS: readonly OperatorVerb[] = [
  {
    kind: 'list',
    noun: 'session',
    verb: 'list',
    about: 'sessions, the newest first',
    may: 'mayfly:read:sessions',
    path: '/v1/sessions',
    columns: ['id', 'agent', 'zone', 'state', 'opened_at', 'expires_at'],
    filters: {
      agent: 'those of this agent or operator',
      zone: 'those of this zone',
      state: 'open or ended',
    },
  },
  {
    kind: 'show',
    noun: 'session',
    verb: 'show',
    about: 'one session',
    may: 'mayfly:read:sessions',
    path: '/v1/sessions/{id}',
  },
  {
    kind: 'change',
    noun: 'session',
    verb: 'revoke',
    about: 'end a session and every token in it',
    may: 'mayfly:revoke:sessions',
    path: '/v1/sessions/{id}/revoke',
    asks: 'End the session {id} and every token in it?',
  },
  {
    kind: 'show',
    noun: 'token',
    verb: 'show',
    about: 'what a token is for, and whether it is alive',
    may: 'mayfly:read:tokens',
    path: '/v1/tokens/{jti}',
  },
  {
    kind: 'change',
    noun: 'token',
    verb: 'revoke',
    about: 'revoke one token',
    may: 'mayfly:revoke:tokens',
    path: '/v1/tokens/{jti}/revoke',
    asks: 'Revoke the token {jti}?',
  },
  {
    kind: 'list',
    noun: 'agent',
    verb: 'list',
    about: 'agents and operators, and who of them is stopped',
    may: 'mayfly:read:agents',
    path: '/v1/agents',
    columns: ['name', 'kind', 'zone', 'open_sessions', 'stopped_by.id'],
    filters: { kind: 'agent, operator or canary', stopped: 'true or false' },
  },
  {
    kind: 'show',
    noun: 'agent',
    verb: 'show',
    about: 'one agent or operator',
    may: 'mayfly:read:agents',
    path: '/v1/agents/{id}',
  },
  {
    kind: 'change',
    noun: 'agent',
    verb: 'revoke',
    about: 'revoke every token and session that it has so far; it may open new ones',
    may: 'mayfly:revoke:agents',
    path: '/v1/agents/{id}/revoke',
    asks: 'Revoke every token and session that {id} has so far?',
  },
  {
    kind: 'change',
    noun: 'agent',
    verb: 'quarantine',
    about: 'stop it until it is released',
    may: 'mayfly:quarantine:agents',
    path: '/v1/agents/{id}/quarantine',
    asks: 'Stop {id} until somebody releases it?',
  },
  {
    kind: 'change',
    noun: 'agent',
    verb: 'release',
    about: 'release it from quarantine; what was stopped stays dead',
    may: 'mayfly:release:agents',
    path: '/v1/agents/{id}/release',
    asks: 'Release {id} from quarantine?',
  },
  {
    kind: 'list',
    noun: 'signing-key',
    verb: 'list',
    about: 'the keys that sign tokens and ledger messages',
    may: 'mayfly:read:signing-keys',
    path: '/v1/signing-keys',
    columns: ['kid', 'purpose', 'state', 'published_at', 'active_from', 'retire_at'],
    filters: { purpose: 'token, ledger or nonce' },
  },
  {
    kind: 'change',
    noun: 'signing-key',
    verb: 'revoke',
    about: 'after a compromise: revoke a key, and with it everything that it signed',
    may: 'mayfly:revoke:signing-keys',
    path: '/v1/signing-keys/{kid}/revoke',
    asks: 'Revoke the key {kid} and everything that it signed?',
  },
  {
    kind: 'list',
    noun: 'verifier',
    verb: 'list',
    about: 'enforcement points: what each has applied, how far it is behind, until when it may decide',
    may: 'mayfly:read:verifiers',
    path: '/v1/verifiers',
    columns: [
      'instance',
      'resource',
      'state',
      'applied_epoch',
      'lag_epochs',
      'lag_seconds',
      'lease_seconds',
      'lease_ends_at',
    ],
    filters: { resource: 'those of this resource, by its audience', state: 'live, ended or closed' },
  },
];
