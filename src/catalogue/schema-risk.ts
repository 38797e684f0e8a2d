/** One thing that the rule risky-argument-schema finds in a schema. */
import { printable } from './problem.ts';

/** Keys and indexes from the top of the schema. */
export type SchemaPath = readonly (string | number)[];

export type SchemaRisk = {
  path: SchemaPath;
  message: string;
  fix: string;
  /** False where nothing could enforce the schema as it is written. */
  acceptable: boolean;
};

export function acceptableRisk(path: SchemaPath, message: string, fix: string): SchemaRisk {
  return { path, message: printable(message), fix, acceptable: true };
}

export function unenforceable(path: SchemaPath, message: string, fix: string): SchemaRisk {
  return { path, message: printable(message), fix, acceptable: false };
}

/** The path as a JSON pointer (RFC 6901), `/` for the top: what an acceptance writes after `for:`. */
export function pointerOf(path: SchemaPath): string {
  if (path.length === 0) return '/';
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
