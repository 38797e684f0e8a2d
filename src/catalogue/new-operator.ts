/** The policy file of an operator that does not exist yet; like an agent's, with roles in place of actions. */
import type { NamedJwk } from './keys.ts';
import { NAME, TITLE } from './names.ts';
import { complaint, keyInYaml, said } from './new-declaration.ts';
import { ROLE, ROLES } from './roles.ts';

export type NewOperator = {
  name: string;
  title: string | undefined;
  roles: readonly string[];
  key: NamedJwk;
};

/** What is wrong with what was said, one sentence each. */
export function checkNewOperator({ name, title, roles }: NewOperator): string[] {
  return [
    complaint('name', NAME, name),
    complaint('title', TITLE, title),
    ...roles.map((role) => complaint('role', ROLE, role)),
  ].filter((found) => found !== null);
}

export function newOperatorYaml({ name, title, roles, key }: NewOperator): string {
  return `# Made by "mayfly operator new". Review every line: these roles are what this person may do at mayfly.
operator: ${name}
title: ${said(title, 'who this is, in plain words')}
roles: [${[...new Set(roles)].join(', ')}] # out of ${ROLES.join(', ')}
keys:
  - ${keyInYaml(key)}
`;
}
