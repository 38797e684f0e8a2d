import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What people read, by path from the root. */
export const DOCUMENTS = [
  'README.md',
  'docs/runbook.md',
  'docs/audit-sinks.md',
  'SECURITY.md',
  'CHANGELOG.md',
] as const;

export function textOf(path: string): string {
  return readFileSync(`${ROOT}${path}`, 'utf8');
}

/** The fenced blocks of one language, indented ones too, without their indentation. */
export function blocksOf(text: string, language: string): string[] {
  const fences = text.matchAll(/^( *)```(\w+)\n([\s\S]*?)^\1```$/gm);
  return [...fences]
    .filter(([, , found]) => found === language)
    .map(([, indent = '', , body = '']) => body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

/** Everything in backticks that is not in a fenced block. */
export function codeSpansOf(text: string): string[] {
  const prose = text.replaceAll(/^( *)```[\s\S]*?^\1```$/gm, '');
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
}

/** The rows of the first table after this text, cell by cell, without its head. */
export function tableAfter(text: string, heading: string): string[][] {
  const start = text.indexOf(heading);
  if (start === -1) throw new Error(`there is no "${heading}"`);
  const [table = ''] = /(?:^\|.*\|\n)+/m.exec(text.slice(start)) ?? [];
  const rows = table.trim().split('\n').slice(2);
  return rows.map((row) =>
    row
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
}
