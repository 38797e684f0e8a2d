/**
 * An acceptance is how a person says "we know, and it is right here" to one lint finding: in the file, next to
 * what it is about, with the reason and with who reviewed it. It covers one rule and, where the rule finds several
 * things, the one it names; an acceptance that covers nothing is an error, so that none outlives its reason.
 *
 *     accept:
 *       - rule: high-without-approval
 *         because: A hold has to be placed within seconds and is lifted by a person.
 *         reviewed_by: payments-risk
 */
import { z } from 'zod';
import { type Field, readFields, reportAt, type Section, sectionAt } from './fields.ts';
import { OWNER, REASON } from './names.ts';
import { REFUSED } from './policy-yaml.ts';
import { described, type Report } from './problem.ts';

export type Acceptance = { rule: string; for: string | null; section: Section };

const MAX_ACCEPTANCES = 50;

const RULE: Field<string> = {
  schema: z.string().min(1),
  expected: 'the name of a lint rule',
  fix: 'See mayfly scopes check --explain for the rules.',
};

const SHAPE = {
  rule: RULE,
  for: {
    ...RULE,
    optional: true,
    expected: 'what the finding names: a resource, or the place in the argument schema',
    fix: 'Copy it from the finding.',
  },
  because: REASON,
  reviewed_by: OWNER,
};

/** Reads `accept` of an action or an agent. */
export function readAcceptances(declaration: Section, report: Report): Acceptance[] {
  const list = sectionAt(declaration, 'accept');
  if (list.value === undefined || list.value === REFUSED) return [];
  if (!Array.isArray(list.value) || list.value.length > MAX_ACCEPTANCES) {
    reportAt(list, report, {
      rule: 'invalid-value',
      message: `accept: expected a list of at most ${MAX_ACCEPTANCES} acceptances, found ${described(list.value)}`,
      fix: 'Write - rule: …, because: …, reviewed_by: … for each finding.',
    });
    return [];
  }
  return [...list.value.keys()].flatMap((index) => {
    const section = sectionAt(list, index);
    const { rule, for: subject, because, reviewed_by } = readFields(section, SHAPE, report);
    if (rule === undefined || because === undefined || reviewed_by === undefined) return [];
    return [{ rule, for: subject ?? null, section }];
  });
}

/** The lines to add to a file to accept a finding. */
export function acceptanceFor(rule: string, subject: string | null): string {
  const about = subject === null ? '' : `, for: ${JSON.stringify(subject)}`;
  return `accept: [{ rule: ${rule}${about}, because: "…", reviewed_by: … }]`;
}
