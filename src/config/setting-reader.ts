import { readFileSync } from 'node:fs';
import type { Environment } from './environment.ts';

/** Reads one setting at a time. What is wrong is noted and a harmless value goes on, so that all of it is found. */
export type SettingReader = ReturnType<typeof createSettingReader>;

export function createSettingReader(environment: Environment, problems: string[]) {
  /** An empty value is none. */
  const text = (name: string): string | undefined => environment[name] || undefined;

  const refuse = (problem: string): void => {
    problems.push(problem);
  };

  const file = (name: string, path: string): string | undefined => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      refuse(`${name}: the file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
      return undefined;
    }
  };

  return {
    text,
    file,
    refuse,

    /** A secret comes from the variable or from the file that `<name>_FILE` names, never from both. */
    secret(name: string): string | undefined {
      const path = text(`${name}_FILE`);
      if (path === undefined) return text(name);
      if (text(name) !== undefined) refuse(`${name} and ${name}_FILE are both set; keep one`);
      return file(`${name}_FILE`, path)?.trim();
    },

    integer(name: string, fallback: number, { min, max }: { min: number; max: number }): number {
      const value = text(name);
      if (value === undefined) return fallback;
      const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= min && number <= max) return number;
      refuse(`${name} has to be a whole number from ${min} to ${max}`);
      return fallback;
    },

    choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
      const value = text(name);
      if (value === undefined) return fallback;
      if ((choices as readonly string[]).includes(value)) return value as T;
      refuse(`${name} has to be one of ${choices.join(', ')}`);
      return fallback;
    },
  };
}
