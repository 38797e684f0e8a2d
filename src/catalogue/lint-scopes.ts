/** Applies the lint rules to all declarations and settles what was accepted in the files. */

import { didYouMean } from '../errors/nearest-name.ts';
import { type Acceptance, acceptanceFor } from './acceptances.ts';
import { reportAt, type Section, sectionAt } from './fields.ts';
import { createActionLint } from './lint-actions.ts';
import { lintAgent, type OfferedAction } from './lint-agents.ts';
import type { LintFinding } from './lint-finding.ts';
import { lintOperator } from './lint-operators.ts';
import { isLintRule, LINT_RULES } from './lint-rules.ts';
import { type Problems, quoted, type Report } from './problem.ts';
import type { AgentDeclaration } from './read-agent.ts';
import type { OperatorDeclaration } from './read-operator.ts';
import type { ResourceDeclaration } from './read-resource.ts';

export type Lintable = {
  resources: readonly ResourceDeclaration[];
  agents: readonly AgentDeclaration[];
  operators: readonly OperatorDeclaration[];
  /** False when a file could not be read, so that who may use what is not known. */
  filesAreComplete: boolean;
};

export function lintScopes(
  { resources, agents, operators, filesAreComplete }: Lintable,
  problems: Problems,
): void {
  const granted = new Set(agents.flatMap(({ may }) => may.map(({ action }) => action)));
  const isComplete = filesAreComplete && !agents.some(isBroken);
  const lintAction = createActionLint({ granted: isComplete ? granted : null });
  const offered = resources.flatMap(({ audience = '', actions }) =>
    actions.map((action): OfferedAction => ({ ...action, audience })),
  );
  const byName = new Map(offered.map((action) => [action.name, action]));
  for (const action of offered) {
    if (!isBroken(action)) settle(action, lintAction(action), problems);
  }
  for (const agent of agents) {
    if (!isBroken(agent)) settle(agent, lintAgent(agent, byName), problems);
  }
  const allOperators = filesAreComplete && !operators.some(isBroken) ? operators : null;
  for (const operator of operators) {
    if (!isBroken(operator)) settle(operator, lintOperator(operator, allOperators), problems);
  }
}

/** Of a file with broken syntax only the declared names count. */
function isBroken({ section }: { section: Section }): boolean {
  return section.source.broken;
}

type Declaration = { section: Section; acceptances: readonly Acceptance[] };

/** Every finding is either accepted or reported, and every acceptance accepts something or is reported. */
function settle(
  { section, acceptances }: Declaration,
  findings: readonly LintFinding[],
  problems: Problems,
): void {
  // where something else is wrong in the file, a finding may be missing only because of that
  const isCertain = !problems.hasErrorsIn(section.source.file);
  const used = new Set<Acceptance>();
  for (const finding of findings) {
    const covering = acceptances.filter((acceptance) => covers(acceptance, finding));
    for (const acceptance of covering) used.add(acceptance);
    if (covering.length === 0) reportFinding(section, finding, problems.report);
  }
  for (const acceptance of acceptances) {
    if (used.has(acceptance) || (isLintRule(acceptance.rule) && !isCertain)) continue;
    reportUseless(acceptance, findings, problems.report);
  }
}

function covers(acceptance: Acceptance, finding: LintFinding): boolean {
  const isAbout = acceptance.rule === finding.rule && acceptance.for === finding.subject;
  return isAbout && finding.unacceptable !== true;
}

function reportFinding(section: Section, finding: LintFinding, report: Report): void {
  const { rule, steps, subject, message, fix } = finding;
  const how =
    finding.unacceptable === true
      ? 'It cannot be accepted.'
      : `Reviewed and right here? ${acceptanceFor(rule, subject)}`;
  reportAt(sectionAt(section, ...steps), report, { rule, message, fix: `${fix} ${how}` }, 'key');
}

function reportUseless(acceptance: Acceptance, findings: readonly LintFinding[], report: Report): void {
  if (!isLintRule(acceptance.rule)) {
    reportAt(sectionAt(acceptance.section, 'rule'), report, {
      rule: 'unknown-rule',
      message: `expected the name of a lint rule, found ${quoted(acceptance.rule)}`,
      fix: `${didYouMean(acceptance.rule, Object.keys(LINT_RULES))}See mayfly scopes check --explain.`,
    });
    return;
  }
  const near = findings.find(({ rule, subject }) => rule === acceptance.rule && subject !== null);
  reportAt(acceptance.section, report, {
    rule: 'acceptance-of-nothing',
    message: `expected an acceptance of something that ${acceptance.rule} finds here, found that it finds nothing of the kind`,
    fix:
      near === undefined
        ? 'Remove the acceptance; it would hide the next finding.'
        : `Remove it, or name what it is about, like for: ${near.subject}.`,
  });
}
