/**
 * The lint rules: what is legal in a policy file and still dangerous. This table is the text that
 * `mayfly scopes check --explain` prints and that the documentation shows; the rules themselves stand in
 * `lint-actions.ts`, `lint-agents.ts`, `lint-operators.ts` and `lint-argument-schema.ts`.
 */
import type { Finding } from './fields.ts';
import { described } from './problem.ts';

export type LintRule = {
  /** What the rule finds. */
  finds: string;
  /** What goes wrong where it is ignored. */
  because: string;
  /** How to accept a finding in the file, or that it cannot be. */
  accepting: string;
};

/** Longest lifetime of a token for an action, by sensitivity, in seconds. */
export const LIFETIME_CEILING_SECONDS = { LOW: 900, MED: 900, HIGH: 300 } as const;

const IN_THE_OPERATOR = 'An entry under accept: of the operator, with rule, because and reviewed_by.';
const IN_THE_ACTION = 'An entry under accept: of the action, with rule, because and reviewed_by.';

export const LINT_RULES = {
  'wildcard-in-grant': {
    finds: 'A * in what an agent may do or in what a zone may call.',
    because: 'It grants what nobody has written yet: the next action is granted before anybody reviews it.',
    accepting: 'Cannot be accepted. Name every action and every zone.',
  },
  'read-and-destructive': {
    finds: 'One agent may both read and destroy at one resource.',
    because:
      'Whoever talks the agent into something finds what to destroy and destroys it with one and the same key.',
    accepting:
      'An entry under accept: of the agent, with rule, for: <the resource>, because and reviewed_by. Better: two agents.',
  },
  'high-without-approval': {
    finds: 'An action of sensitivity HIGH with approval: none.',
    because: 'Nobody looks before the damage that HIGH stands for.',
    accepting: IN_THE_ACTION,
  },
  'high-with-session-use': {
    finds: 'An action of sensitivity HIGH with use: session.',
    because: 'A session token allows any number of calls; a request token allows the one that was asked for.',
    accepting: IN_THE_ACTION,
  },
  'action-unused': {
    finds: 'An action that no agent may use.',
    because: 'Nobody notices what it allows until somebody adds it to an agent without a second thought.',
    accepting: IN_THE_ACTION,
  },
  'lifetime-over-ceiling': {
    finds: `A longest lifetime over the ceiling of the sensitivity: HIGH ${LIFETIME_CEILING_SECONDS.HIGH} s, MED ${LIFETIME_CEILING_SECONDS.MED} s, LOW ${LIFETIME_CEILING_SECONDS.LOW} s.`,
    because: 'A stolen token is worth as much as it lives.',
    accepting: IN_THE_ACTION,
  },
  'risky-argument-schema': {
    finds:
      'A JSON Schema for arguments that reaches outside itself ($ref to elsewhere, $dynamicRef), has a pattern that takes more than linear time or matches only a part, or leaves text, lists or objects without a bound.',
    because: 'It admits what nobody meant, or stops the broker with one crafted call.',
    accepting:
      'Text, lists, objects and patterns without a bound: an entry under accept: of the action, with rule, for: <the place in the schema>, because and reviewed_by. A reference to elsewhere, a cycle, an unknown keyword or a pattern that RE2 refuses cannot be accepted, since nothing could enforce it.',
  },
  'auditor-who-acts': {
    finds: 'An operator with the role auditor and a role that changes things (admin or security).',
    because: 'Who looks for what went wrong must not be who may have done it.',
    accepting: IN_THE_OPERATOR,
  },
  'kill-without-second-person': {
    finds: 'Only one operator may release the kill switch.',
    because:
      'Whoever engages it cannot release it, so one person alone stops everything for good, or never dares to.',
    accepting: IN_THE_OPERATOR,
  },
} as const satisfies Record<string, LintRule>;

export type LintRuleName = keyof typeof LINT_RULES;

export function isLintRule(name: string): name is LintRuleName {
  return Object.hasOwn(LINT_RULES, name);
}

/** The rule wildcard-in-grant, applied while a list of names is read, since `*` is no name. */
export function diagnoseWildcard(value: unknown): Finding | null {
  if (typeof value !== 'string' || !value.includes('*')) return null;
  return {
    rule: 'wildcard-in-grant' satisfies LintRuleName,
    message: `expected a name, found the wildcard ${described(value)}`,
    fix: `${LINT_RULES['wildcard-in-grant'].accepting}`,
  };
}
