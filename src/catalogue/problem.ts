/**
 * What is wrong in a policy file, said so that the reader can repair it without asking: where, what was expected,
 * what came, what to do. Everything that came is quoted with unprintable characters spelled out, so that a name
 * made of terminal escapes or right-to-left overrides cannot dress up the report about itself.
 */

/** A place in a file. Lines and columns count from 1. `file` is relative to the parent of the scopes folder. */
export type Spot = { file: string; line: number; column: number };

export type Problem = {
  severity: 'error' | 'warning';
  /** Stable kebab-case name: a structural rule, or a lint rule of `LINT_RULES`. */
  rule: string;
  file: string;
  line: number;
  column: number;
  /** What was expected and what came. */
  message: string;
  /** What to do. */
  fix: string;
};

export type ProblemReport = Spot & {
  rule: string;
  message: string;
  fix: string;
  severity?: Problem['severity'];
};

export type Report = (problem: ProblemReport) => void;

export type Problems = {
  report: Report;
  /** True when an error was reported in this file. */
  hasErrorsIn(file: string): boolean;
  hasErrors(): boolean;
  /** All problems, ordered by file, line and column. */
  list(): Problem[];
};

const MAX_PROBLEMS_PER_FILE = 100;
const MAX_QUOTED_CHARACTERS = 80;
const MAX_MESSAGE_CHARACTERS = 300;

/** Collects problems; of one file no more than a reader could use. */
export function collectProblems(): Problems {
  const byFile = new Map<string, Problem[]>();
  const report: Report = ({ severity = 'error', ...problem }) => {
    const found = byFile.get(problem.file) ?? [];
    byFile.set(problem.file, found);
    if (found.length < MAX_PROBLEMS_PER_FILE) found.push({ severity, ...problem });
    else if (found.length === MAX_PROBLEMS_PER_FILE) found.push(tooMany(problem));
  };
  const hasErrorsIn = (file: string) =>
    byFile.get(file)?.some((problem) => problem.severity === 'error') ?? false;
  return {
    report,
    hasErrorsIn,
    hasErrors: () => [...byFile.keys()].some(hasErrorsIn),
    list: () => [...byFile.values()].flat().sort(byPlace),
  };
}

/** The text in quotes, shortened, with everything that does not print as itself spelled out. */
export function quoted(words: string): string {
  const text = words.replace(/:\/\/[^/?#]*@/g, '://…@'); // a user and a password
  const shown = printable(text.slice(0, MAX_QUOTED_CHARACTERS)).replace(/["\\]/g, '\\$&');
  return text.length > MAX_QUOTED_CHARACTERS ? `"${shown}"… (${text.length} characters)` : `"${shown}"`;
}

/** Somebody else's words inside a message of ours: shortened, and only what prints as itself. */
export function printable(text: string): string {
  return text
    .slice(0, MAX_MESSAGE_CHARACTERS)
    .toWellFormed()
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** What came, in a few words: a scalar as it is, anything larger by its kind. */
export function described(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a mapping';
  return String(value);
}

function tooMany({ file, line, column }: Spot): Problem {
  return {
    severity: 'error',
    rule: 'too-many-problems',
    file,
    line,
    column,
    message: `this file has more than ${MAX_PROBLEMS_PER_FILE} problems`,
    fix: 'Repair the ones shown, then check again.',
  };
}

function byPlace(a: Problem, b: Problem): number {
  if (a.file !== b.file) return a.file < b.file ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}
