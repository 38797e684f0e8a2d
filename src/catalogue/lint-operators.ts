/** The lint rules about people: who watches must not act, and what one person stops another one has to release. */
import type { LintFinding } from './lint-finding.ts';
import type { OperatorDeclaration } from './read-operator.ts';
import type { Role } from './roles.ts';

const ACTING: readonly Role[] = ['admin', 'security'];

/** @param operators every declared operator, this one too; null when not all of them could be read */
export function lintOperator(
  operator: OperatorDeclaration,
  operators: readonly OperatorDeclaration[] | null,
): LintFinding[] {
  return [...watchesItself(operator), ...(operators === null ? [] : actsAlone(operator, operators))];
}

function watchesItself({ roles }: OperatorDeclaration): LintFinding[] {
  const acting = roles.find((role) => ACTING.includes(role));
  if (!roles.includes('auditor') || acting === undefined) return [];
  return [
    {
      rule: 'auditor-who-acts',
      steps: ['roles'],
      subject: null,
      message: `expected an auditor who changes nothing, found auditor and ${acting}`,
      fix: 'Give one of the two to another person.',
    },
  ];
}

function actsAlone(operator: OperatorDeclaration, operators: readonly OperatorDeclaration[]): LintFinding[] {
  const releasers = operators.filter(({ roles }) => roles.some((role) => ACTING.includes(role)));
  if (!releasers.includes(operator) || releasers.length > 1) return [];
  return [
    {
      rule: 'kill-without-second-person',
      steps: ['roles'],
      subject: null,
      message: 'expected two people who may release the kill switch, found one',
      fix: 'Declare another operator with the role security or admin: whoever engages it cannot release it.',
    },
  ];
}
