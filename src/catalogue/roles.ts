/**
 * What a person may be at mayfly itself. A role is a fixed bundle of management actions
 * (operators/management-actions.ts has them); policy says who has which role and cannot make new ones.
 */
import { z } from 'zod';
import type { Field } from './fields.ts';

export const ROLES = ['admin', 'approver', 'auditor', 'security'] as const;

export type Role = (typeof ROLES)[number];

/** What a role is for, as a sentence about a change says it. */
export const ROLE_MEANINGS: Readonly<Record<Role, string>> = {
  admin: 'keeps agents and their sessions in order, and may engage and release the kill switch',
  approver: 'says yes or no to single requests of agents',
  auditor: 'reads everything and changes nothing',
  security:
    'contains what goes wrong: revokes, quarantines, engages and releases the kill switch, runs drills',
};

export const ROLE: Field<Role> = {
  schema: z.literal([...ROLES]),
  expected: `one of ${ROLES.join(', ')}`,
  fix: 'Give the roles that this person needs and no other, like [auditor].',
};

export const ROLE_LIST: Field<unknown[]> = {
  schema: z.array(z.unknown()).min(1).max(ROLES.length),
  expected: `a list of 1 to ${ROLES.length} roles`,
  fix: `List the roles of this person, out of ${ROLES.join(', ')}.`,
};
