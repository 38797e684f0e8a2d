/** The lint rules about one action. Each looks only at fields that could be read. */
import { schemaFlaw } from './argument-schema.ts';
import { risksOf } from './lint-argument-schema.ts';
import type { LintFinding } from './lint-finding.ts';
import { LIFETIME_CEILING_SECONDS } from './lint-rules.ts';
import { printable } from './problem.ts';
import type { ActionDeclaration } from './read-action.ts';
import { pointerOf } from './schema-risk.ts';

/** @param granted names of all actions that some agent may use; null when not all agents could be read */
export function createActionLint({ granted }: { granted: ReadonlySet<string> | null }) {
  return (action: ActionDeclaration): LintFinding[] => [
    ...withoutApproval(action),
    ...withSessionUse(action),
    ...overCeiling(action),
    ...unused(action, granted),
    ...(action.arguments === undefined ? [] : riskySchema(action.arguments)),
  ];
}

function withoutApproval({ sensitivity, approval }: ActionDeclaration): LintFinding[] {
  if (sensitivity !== 'HIGH' || approval !== 'none') return [];
  return [
    {
      rule: 'high-without-approval',
      steps: ['approval'],
      subject: null,
      message: 'expected an approval for a HIGH action, found none',
      fix: 'Ask one or two people: approval: one.',
    },
  ];
}

function withSessionUse({ sensitivity, use }: ActionDeclaration): LintFinding[] {
  if (sensitivity !== 'HIGH' || use !== 'session') return [];
  return [
    {
      rule: 'high-with-session-use',
      steps: ['use'],
      subject: null,
      message: 'expected a HIGH action to be had one call at a time, found use: session',
      fix: 'Write use: request.',
    },
  ];
}

function overCeiling({ sensitivity, lifetime }: ActionDeclaration): LintFinding[] {
  if (sensitivity === undefined || lifetime === undefined) return [];
  const ceiling = LIFETIME_CEILING_SECONDS[sensitivity];
  if (lifetime.maxSeconds <= ceiling) return [];
  return [
    {
      rule: 'lifetime-over-ceiling',
      steps: ['lifetime', 'max'],
      subject: null,
      message: `expected at most ${ceiling} seconds for ${sensitivity}, found ${lifetime.maxSeconds}`,
      fix: `Write max: ${ceiling} or less.`,
    },
  ];
}

function unused({ name }: ActionDeclaration, granted: ReadonlySet<string> | null): LintFinding[] {
  if (granted === null || granted.has(name)) return [];
  return [
    {
      rule: 'action-unused',
      steps: [],
      subject: null,
      message: 'expected an agent that may use this action, found none',
      fix: 'Remove the action, or add it to may of the agent that needs it.',
    },
  ];
}

function riskySchema(schema: object): LintFinding[] {
  const risks = risksOf(schema).map(
    ({ path, message, fix, acceptable }): LintFinding => ({
      rule: 'risky-argument-schema',
      steps: ['arguments', ...path],
      subject: acceptable ? pointerOf(path) : null,
      message: `${pointerOf(path)}: ${message}`,
      fix,
      unacceptable: !acceptable,
    }),
  );
  const isEnforceable = risks.every(({ unacceptable }) => unacceptable !== true);
  return isEnforceable ? [...risks, ...invalidSchema(schema)] : risks;
}

function invalidSchema(schema: object): LintFinding[] {
  const flaw = schemaFlaw(schema);
  if (flaw === null) return [];
  return [
    {
      rule: 'risky-argument-schema',
      steps: ['arguments', ...flaw.path],
      subject: null,
      message: `expected a JSON Schema 2020-12 in strict mode: ${pointerOf(flaw.path)} ${printable(flaw.message)}`,
      fix: 'Repair the schema.',
      unacceptable: true,
    },
  ];
}
