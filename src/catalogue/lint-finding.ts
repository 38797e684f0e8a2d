/** What a lint rule found in one declaration. */
import type { LintRuleName } from './lint-rules.ts';

export type LintFinding = {
  rule: LintRuleName;
  /** Where in the declaration: keys and indexes. */
  steps: (string | number)[];
  /** What an acceptance has to name after `for:`, where the rule can find several things; else null. */
  subject: string | null;
  message: string;
  fix: string;
  /** True where no acceptance helps. */
  unacceptable?: boolean;
};
