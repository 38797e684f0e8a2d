/** Reads one file of `resources/`: a resource server and the actions that it offers. */
import { z } from 'zod';
import { AUDIENCE } from './audience.ts';
import { FLAG } from './development.ts';
import {
  type Field,
  isMapping,
  READ_ELSEWHERE,
  readFields,
  reportAt,
  type Section,
  sectionAt,
} from './fields.ts';
import { type DeclaredKey, readKeys } from './keys.ts';
import { NAME, TITLE } from './names.ts';
import type { PolicySource } from './policy-yaml.ts';
import type { Report } from './problem.ts';
import { type ActionDeclaration, readAction } from './read-action.ts';

export type ResourceDeclaration = {
  audience: string | undefined;
  title: string | undefined;
  zone: string | undefined;
  developmentKey: boolean;
  developmentPath: string | undefined;
  keys: DeclaredKey[];
  actions: ActionDeclaration[];
  section: Section;
};

const MAX_ACTIONS = 200;
const MAX_PATH_CHARACTERS = 100;

export const DEVELOPMENT_PATH: Field<string> = {
  schema: z
    .string()
    .max(MAX_PATH_CHARACTERS)
    .regex(/^\/(?:[a-z0-9-]+(?:\/[a-z0-9-]+)*)?$/),
  expected: 'a path like /exports of lower-case letters, digits and hyphens, without a slash at the end',
  fix: 'Name the path at which the sample resource server plays this resource.',
  optional: true,
};

const SHAPE = {
  resource: AUDIENCE,
  title: TITLE,
  zone: NAME,
  development_key: FLAG,
  development_path: DEVELOPMENT_PATH,
  keys: READ_ELSEWHERE,
  actions: {
    schema: z
      .custom<Record<string, unknown>>(isMapping)
      .refine((value) => Object.keys(value).length <= MAX_ACTIONS),
    expected: `a mapping of at most ${MAX_ACTIONS} actions`,
    fix: 'Declare each action as "service:verb:resource:" with its fields below.',
  },
};

export function readResource(source: PolicySource, report: Report): ResourceDeclaration {
  const section: Section = { source, path: [], value: source.value };
  const fields = readFields(section, SHAPE, report);
  const developmentKey = fields.development_key ?? false;
  if (fields.development_path !== undefined && !developmentKey) {
    reportAt(sectionAt(section, 'development_path'), report, PATH_WITHOUT_KEY, 'key');
  }
  const actions = Object.keys(fields.actions ?? {}).map((name) =>
    readAction(name, sectionAt(section, 'actions', name), report),
  );
  const isServedHere = actions.some((action) => sectionAt(action.section, 'aws').value !== undefined);
  return {
    audience: fields.resource,
    title: fields.title,
    zone: fields.zone,
    developmentKey,
    developmentPath: fields.development_path,
    keys: readKeys(section, { mayBeAbsent: developmentKey || isServedHere }, report),
    actions,
    section,
  };
}

const PATH_WITHOUT_KEY = {
  rule: 'development-path-without-key',
  message: 'expected development_key: true beside development_path',
  fix: 'Remove development_path, or let this machine play the resource: development_key: true.',
};
