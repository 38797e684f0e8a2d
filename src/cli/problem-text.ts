/** What is wrong with policy files, as every command tells it. */
import type { Problem } from '../catalogue/index.ts';

/** The place first, alone on its line, so that terminals and editors can jump to it. */
export function problemText(problems: readonly Problem[]): string {
  return problems
    .map(
      ({ file, line, column, severity, rule, message, fix }) =>
        `${file}:${line}:${column}  ${severity}  ${rule}\n  ${message}\n  ${fix}\n\n`,
    )
    .join('');
}

export function countOf(problems: readonly Problem[]): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const warnings = problems.length - errors;
  const shown = errors === 1 ? '1 error' : `${errors} errors`;
  return warnings === 0 ? `${shown}.` : `${shown}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}.`;
}
