/** Reads one action of a resource: what it does, how dangerous it is, and what a token for it may be. */
import { z } from 'zod';
import { type Acceptance, readAcceptances } from './acceptances.ts';
import { type AwsAccess, awsAccessOf, awsFlaws } from './aws-access.ts';
import {
  type Field,
  invalidValue,
  isMapping,
  isWhole,
  READ_ELSEWHERE,
  readFields,
  reportAt,
  type Section,
  sectionAt,
} from './fields.ts';
import { ACTION_NAME, TITLE } from './names.ts';
import type { Report } from './problem.ts';

export const SENSITIVITIES = ['LOW', 'MED', 'HIGH'] as const;
export const EFFECTS = ['read', 'write', 'destructive'] as const;
export const USES = ['session', 'request'] as const;
export const APPROVALS = ['none', 'one', 'two'] as const;

export const MIN_LIFETIME_SECONDS = 60;
export const MAX_LIFETIME_SECONDS = 900;

export type ActionDeclaration = {
  name: string;
  title: string | undefined;
  sensitivity: (typeof SENSITIVITIES)[number] | undefined;
  effect: (typeof EFFECTS)[number] | undefined;
  lifetime: { defaultSeconds: number; maxSeconds: number } | undefined;
  use: (typeof USES)[number] | undefined;
  approval: (typeof APPROVALS)[number] | undefined;
  arguments: object | undefined;
  aws: AwsAccess | undefined;
  acceptances: Acceptance[];
  section: Section;
};

export const LIFETIME_SECONDS: Field<number> = {
  schema: z.int().min(MIN_LIFETIME_SECONDS).max(MAX_LIFETIME_SECONDS),
  expected: `whole seconds, ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}`,
  fix: 'Write lifetime: { default: 300, max: 900 }, as short as the work allows.',
};

const SHAPE = {
  title: TITLE,
  sensitivity: oneOf(SENSITIVITIES, 'Say what happens when it goes wrong: LOW, MED or HIGH.'),
  effect: oneOf(EFFECTS, 'Say what it does to the resource; what cannot be undone is destructive.'),
  lifetime: {
    ...LIFETIME_SECONDS,
    schema: z.custom<object>(isMapping),
    expected: 'a mapping with default and max',
  },
  use: oneOf(
    USES,
    'session: any number of calls while the token lives; request: one call, named beforehand.',
  ),
  approval: oneOf(APPROVALS, 'Say how many people have to say yes before it happens.'),
  arguments: {
    schema: z.custom<object>(isMapping),
    expected: 'a JSON Schema for an object',
    fix: 'Write a JSON Schema 2020-12, or leave arguments out.',
    optional: true,
  },
  aws: READ_ELSEWHERE,
  accept: READ_ELSEWHERE,
};

export function readAction(name: string, section: Section, report: Report): ActionDeclaration {
  if (!ACTION_NAME.schema.safeParse(name).success) {
    reportAt(section, report, invalidValue('action', ACTION_NAME, name), 'key');
  }
  const fields = readFields(section, SHAPE, report);
  return {
    name,
    title: fields.title,
    sensitivity: fields.sensitivity,
    effect: fields.effect,
    lifetime: fields.lifetime === undefined ? undefined : readLifetime(section, report),
    use: fields.use,
    approval: fields.approval,
    arguments: isWhole(fields.arguments) ? fields.arguments : undefined,
    aws: readAws(section, fields.arguments, report),
    acceptances: readAcceptances(section, report),
    section,
  };
}

function readLifetime(action: Section, report: Report): ActionDeclaration['lifetime'] {
  const section = sectionAt(action, 'lifetime');
  const { default: defaultSeconds, max: maxSeconds } = readFields(
    section,
    { default: LIFETIME_SECONDS, max: LIFETIME_SECONDS },
    report,
  );
  if (defaultSeconds === undefined || maxSeconds === undefined) return undefined;
  if (defaultSeconds > maxSeconds) {
    reportAt(sectionAt(section, 'default'), report, {
      rule: 'invalid-value',
      message: `expected a default of at most the maximum, ${maxSeconds}, found ${defaultSeconds}`,
      fix: 'Lower the default or raise the maximum.',
    });
  }
  return { defaultSeconds, maxSeconds };
}

function readAws(action: Section, schema: object | undefined, report: Report): AwsAccess | undefined {
  const section = sectionAt(action, 'aws');
  if (section.value === undefined || !isWhole(section.value) || !isWhole(schema)) return undefined;
  const flaws = awsFlaws(section.value, schema);
  for (const { steps, message } of flaws) {
    const fix = 'The README describes aws of an action, and what a policy there may say.';
    reportAt(sectionAt(section, ...steps), report, { rule: 'invalid-aws', message, fix });
  }
  return flaws.length > 0 ? undefined : awsAccessOf(section.value as Record<string, unknown>);
}

function oneOf<const T extends readonly string[]>(values: T, fix: string): Field<T[number]> {
  return { schema: z.literal([...values]), expected: `one of ${values.join(', ')}`, fix };
}
