/**
 * Which class and activity of the Open Cybersecurity Schema Framework an action is. The version is pinned: identifiers
 * of classes and activities are those of https://schema.ocsf.io/1.8.0. An action that is not in the table is a Base
 * Event with the activity "Other", which every consumer knows and nobody mistakes for something else.
 */
import type { EntryDocument } from '../audit/entry-document.ts';

export const OCSF_VERSION = '1.8.0';

type OcsfClass = { uid: number; caption: string; category: number; categoryCaption: string };

const IAM = { category: 3, categoryCaption: 'Identity & Access Management' };

export const OCSF_CLASSES = {
  base: { uid: 0, caption: 'Base Event', category: 0, categoryCaption: 'Uncategorized' },
  account: { uid: 3001, caption: 'Account Change', ...IAM },
  authentication: { uid: 3002, caption: 'Authentication', ...IAM },
  entity: { uid: 3004, caption: 'Entity Management', ...IAM },
  api: { uid: 6003, caption: 'API Activity', category: 6, categoryCaption: 'Application Activity' },
} as const satisfies Record<string, OcsfClass>;

/** `severity_id`: 1 informational, 2 low, 3 medium, 4 high. */
export type OcsfRow = {
  kind: keyof typeof OCSF_CLASSES;
  activity: number;
  caption: string;
  severity: 1 | 2 | 3 | 4;
};

const row = (
  kind: OcsfRow['kind'],
  activity: number,
  caption: string,
  severity: OcsfRow['severity'] = 1,
): OcsfRow => ({ kind, activity, caption, severity });

/** Whoever is given a token, or admitted, has authenticated with the request itself. */
const LOGON = row('authentication', 1, 'Logon');

const ROWS: Readonly<Record<string, OcsfRow>> = {
  'token.minted': LOGON,
  'token.refused': LOGON,
  'login.failed': LOGON,
  'proof.challenged': row('authentication', 99, 'Other'),
  'operator.admitted': LOGON,
  'aws.credentials_requested': LOGON,
  'aws.credentials_issued': row('api', 1, 'Create'),
  'aws.deny_put': row('entity', 9, 'Disable', 3),
  'aws.deny_removed': row('entity', 4, 'Delete', 2),
  'session.revoked': row('authentication', 2, 'Logoff'),
  'token.introspected': row('api', 2, 'Read'),
  'token.consumed': row('api', 3, 'Update'),
  'token.revoked': row('api', 4, 'Delete'),
  'proofs.spent': row('api', 3, 'Update'),
  'ledger.read': row('api', 2, 'Read'),
  'agent.read': row('api', 2, 'Read'),
  'request.refused': row('api', 0, 'Unknown'),
  'agent.revoked': row('account', 5, 'Disable', 3),
  'agent.quarantined': row('account', 5, 'Disable', 3),
  'agent.released': row('account', 2, 'Enable', 3),
  'kill_switch.engaged': row('entity', 9, 'Disable', 3),
  'kill_switch.released': row('entity', 8, 'Enable', 3),
  'revocation.appended': row('entity', 9, 'Disable', 3),
  'revocation.released': row('entity', 8, 'Enable', 3),
  'kill_switch.found_engaged': row('entity', 2, 'Read', 3),
  'signing_key.made': row('entity', 1, 'Create', 2),
  'signing_key.hastened': row('entity', 10, 'Activate', 2),
  'signing_key.resealed': row('entity', 3, 'Update', 2),
  'signing_key.revoked': row('entity', 9, 'Disable', 4),
  'signing_key.erased': row('entity', 4, 'Delete', 2),
  'audit_log.doubted': row('entity', 9, 'Disable', 4),
  'audit_log.trusted': row('entity', 8, 'Enable', 3),
  'catalogue.changed': row('entity', 3, 'Update', 3),
};

/** What is done to an agent as a whole is done to an account. */
const ROWS_OF_AGENTS: Readonly<Record<string, OcsfRow>> = {
  'kill_switch.engaged': row('account', 5, 'Disable', 3),
  'kill_switch.released': row('account', 2, 'Enable', 3),
  'revocation.appended': row('account', 5, 'Disable', 3),
  'revocation.released': row('account', 2, 'Enable', 3),
};

const GENERIC = row('base', 99, 'Other');

export const OCSF_ACTIONS: readonly string[] = Object.keys(ROWS);

export function ocsfRow({ action, details }: Pick<EntryDocument, 'action' | 'details'>): OcsfRow {
  const rows = details.kind === 'agent' && Object.hasOwn(ROWS_OF_AGENTS, action) ? ROWS_OF_AGENTS : ROWS;
  return (Object.hasOwn(rows, action) ? rows[action] : undefined) ?? GENERIC;
}
