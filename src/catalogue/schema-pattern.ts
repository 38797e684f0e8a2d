/** Patterns in a schema: short, the same to ECMA-262 and RE2, and about the whole text. */
import { patternProblem } from './argument-schema.ts';
import { described } from './problem.ts';
import { acceptableRisk, type SchemaPath, type SchemaRisk, unenforceable } from './schema-risk.ts';

const MAX_PATTERN_CHARACTERS = 256;

export function patternRisks(pattern: unknown, path: SchemaPath): SchemaRisk[] {
  if (typeof pattern !== 'string' || pattern.length > MAX_PATTERN_CHARACTERS) {
    const message = `expected a pattern of at most ${MAX_PATTERN_CHARACTERS} characters, found ${described(pattern)}`;
    return [unenforceable(path, message, 'Shorten it, or list what is allowed: enum.')];
  }
  const problem = patternProblem(pattern);
  if (problem !== null) {
    const message = `expected a pattern that runs in linear time (RE2), found ${described(pattern)}: ${problem}`;
    return [unenforceable(path, message, 'Write it without look-around and back-references.')];
  }
  if (matchesWhole(pattern)) return [];
  const message = `expected a pattern for the whole text, found ${described(pattern)}, which a part of it satisfies`;
  return [acceptableRisk(path, message, 'Write ^(?:…)$ around it.')];
}

/** `^…$` around everything: an alternative at the top would need neither of the two on its side. */
function matchesWhole(pattern: string): boolean {
  if (!pattern.startsWith('^') || !/(?:^|[^\\])(?:\\\\)*\$$/.test(pattern)) return false;
  let depth = 0;
  let inClass = false;
  for (let index = 0; index < pattern.length; index += 1) {
    const character = pattern[index];
    if (character === '\\') index += 1;
    else if (inClass) inClass = character !== ']';
    else if (character === '[') inClass = true;
    else if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    else if (character === '|' && depth === 0) return false;
  }
  return true;
}
