/** Reads one file of `agents/`: who the agent is, who answers for it, and every action that it may ask for. */
import { z } from 'zod';
import { type Acceptance, readAcceptances } from './acceptances.ts';
import { FLAG } from './development.ts';
import { type Field, READ_ELSEWHERE, readFields, readList, type Section, sectionAt } from './fields.ts';
import { type DeclaredKey, readKeys } from './keys.ts';
import { diagnoseWildcard } from './lint-rules.ts';
import { ACTION_NAME, NAME, OWNER, TITLE } from './names.ts';
import type { PolicySource } from './policy-yaml.ts';
import type { Report } from './problem.ts';

const MIN_SESSION_SECONDS = 60;
const MAX_SESSION_SECONDS = 43_200;
export const MAX_GRANTS = 200;

export type AgentDeclaration = {
  name: string | undefined;
  title: string | undefined;
  owner: string | undefined;
  zone: string | undefined;
  developmentKey: boolean;
  keys: DeclaredKey[];
  sessionSeconds: number | undefined;
  may: { action: string; section: Section }[];
  acceptances: Acceptance[];
  section: Section;
};

export const SESSION_SECONDS: Field<number> = {
  schema: z.int().min(MIN_SESSION_SECONDS).max(MAX_SESSION_SECONDS),
  expected: `whole seconds, ${MIN_SESSION_SECONDS} to ${MAX_SESSION_SECONDS}`,
  fix: 'Say how long one run of this agent may last.',
};

const GRANTS: Field<unknown[]> = {
  schema: z.array(z.unknown()).max(MAX_GRANTS),
  expected: `a list of at most ${MAX_GRANTS} actions`,
  fix: 'List every action that this agent may ask for, like [db:read:customers].',
};

const SHAPE = {
  agent: NAME,
  title: TITLE,
  owner: OWNER,
  zone: NAME,
  development_key: FLAG,
  keys: READ_ELSEWHERE,
  session_seconds: SESSION_SECONDS,
  may: GRANTS,
  accept: READ_ELSEWHERE,
};

export function readAgent(source: PolicySource, report: Report): AgentDeclaration {
  const section: Section = { source, path: [], value: source.value };
  const fields = readFields(section, SHAPE, report);
  const developmentKey = fields.development_key ?? false;
  const may = sectionAt(section, 'may');
  return {
    name: fields.agent,
    title: fields.title,
    owner: fields.owner,
    zone: fields.zone,
    developmentKey,
    keys: readKeys(section, { mayBeAbsent: developmentKey }, report),
    sessionSeconds: fields.session_seconds,
    may: readList(may, { ...ACTION_NAME, diagnose: diagnoseWildcard }, report).map(({ value, index }) => ({
      action: value,
      section: sectionAt(may, index),
    })),
    acceptances: readAcceptances(section, report),
    section,
  };
}
