/** Reads one file of `operators/`: a person, the roles that this person has, and the keys to be known by. */
import { type Acceptance, readAcceptances } from './acceptances.ts';
import { FLAG } from './development.ts';
import { READ_ELSEWHERE, readFields, readList, type Section, sectionAt } from './fields.ts';
import { type DeclaredKey, readKeys } from './keys.ts';
import { NAME, TITLE } from './names.ts';
import type { PolicySource } from './policy-yaml.ts';
import type { Report } from './problem.ts';
import { ROLE, ROLE_LIST, type Role } from './roles.ts';

export type OperatorDeclaration = {
  name: string | undefined;
  title: string | undefined;
  roles: Role[];
  developmentKey: boolean;
  keys: DeclaredKey[];
  acceptances: Acceptance[];
  section: Section;
};

const SHAPE = {
  operator: NAME,
  title: TITLE,
  roles: ROLE_LIST,
  development_key: FLAG,
  keys: READ_ELSEWHERE,
  accept: READ_ELSEWHERE,
};

export function readOperator(source: PolicySource, report: Report): OperatorDeclaration {
  const section: Section = { source, path: [], value: source.value };
  const fields = readFields(section, SHAPE, report);
  const developmentKey = fields.development_key ?? false;
  return {
    name: fields.operator,
    title: fields.title,
    roles: readList(sectionAt(section, 'roles'), ROLE, report).map(({ value }) => value),
    developmentKey,
    keys: readKeys(section, { mayBeAbsent: developmentKey }, report),
    acceptances: readAcceptances(section, report),
    section,
  };
}
