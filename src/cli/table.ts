/** Rows for people: a column for each name, as wide as it has to be. */
import { plainText } from './plain-text.ts';

export type Row = Readonly<Record<string, unknown>>;

const MAX_CELL_CHARACTERS = 64;
const MAX_LINE_CHARACTERS = 160;
const SHOWN_CHARACTERS = 32;

/** @param columns names of members; `target.id` is the member of a member, or of each in a list */
export function table(columns: readonly string[], rows: readonly Row[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(valueAt(row, column))))];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => aligned(line, widths)).join('');
}

/**
 * For rows that come one by one: the names of the columns with the first, and each column as wide as it ever had to be.
 * @returns what to print for a row
 */
export function growingTable(columns: readonly string[]): (row: Row) => string {
  const widths = columns.map(() => 0);
  let isFirst = true;
  return (row) => {
    const line = columns.map((column) => cell(valueAt(row, column)));
    const lines = isFirst ? [columns, line] : [line];
    isFirst = false;
    for (const each of lines) {
      each.forEach((value, column) => {
        widths[column] = Math.max(widths[column] ?? 0, value.length);
      });
    }
    return lines.map((each) => aligned(each, widths)).join('');
  };
}

/** One thing: each of its members on a line, members of members below it. */
export function sheet(row: Row): string {
  const lines = flattened(row).map(([name, value]) => [plainText(name), shortened(text(value))]);
  const width = Math.max(0, ...lines.map(([name = '']) => name.length));
  return lines.map((line) => aligned(line, [width])).join('');
}

function aligned(line: readonly string[], widths: readonly number[]): string {
  const padded = line.map((value, column) => value.padEnd(widths[column] ?? 0));
  return `${padded.join('  ').trimEnd()}\n`;
}

function flattened(row: Row, prefix = ''): [name: string, value: unknown][] {
  return Object.entries(row).flatMap(([key, value]): [string, unknown][] => {
    const name = `${prefix}${key}`;
    if (Array.isArray(value) && value.some(isRow)) {
      return value.map((each, index) => [`${name} ${index + 1}`, isRow(each) ? inWords(each) : each]);
    }
    return isRow(value) ? flattened(value, `${name}.`) : [[name, value]];
  });
}

/** `instance ver_1, applied_at 10:00` */
function inWords(row: Row): string {
  return Object.entries(row)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ');
}

function valueAt(row: Row, column: string): unknown {
  return column.split('.').reduce<unknown>(memberOf, row);
}

/** Of a list, that member of each. */
function memberOf(value: unknown, name: string): unknown {
  if (Array.isArray(value)) return value.map((each) => memberOf(each, name));
  return isRow(value) ? value[name] : undefined;
}

/** A signed statement is for programs; a list of names, however long, is for people. */
function shortened(shown: string): string {
  const isReadable = shown.length <= MAX_LINE_CHARACTERS || shown.includes(' ');
  return isReadable ? shown : `${shown.slice(0, SHOWN_CHARACTERS)}… (${shown.length} characters; -o json)`;
}

function cell(value: unknown): string {
  const shown = text(value);
  return shown.length <= MAX_CELL_CHARACTERS ? shown : `${shown.slice(0, MAX_CELL_CHARACTERS - 1)}…`;
}

function text(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(text).join(' ');
  return plainText(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

function isRow(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
