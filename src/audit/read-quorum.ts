/** Which witnesses have to have cosigned a head for somebody who asks for one, and how many of them. */
import { refuse } from '../errors/refusal.ts';
import type { Form } from '../http/form.ts';
import { refuseUnknown } from '../http/list.ts';
import { isKeyName } from './verifier-key.ts';

export type Quorum = { witnesses: readonly string[]; count: number };

const MAX_WITNESSES = 9;
const PARAMETERS = ['cosigned', 'witnesses'];

/**
 * @param asked the names of those whom this broker asks: they count when nobody else is named
 * @returns null when any head will do
 * @throws {Refusal}
 */
export function readQuorum(query: Form, asked: readonly string[]): Quorum | null {
  refuseUnknown(query, PARAMETERS);
  const [count, names] = [query.one('cosigned'), query.one('witnesses')];
  if (count === undefined && names === undefined) return null;
  const witnesses = names === undefined ? asked : [...new Set(names.split(','))];
  if (witnesses.length > MAX_WITNESSES || !witnesses.every(isKeyName)) {
    refuse('parameter_invalid', { hint: `witnesses are up to ${MAX_WITNESSES} names, with commas between.` });
  }
  if (count === undefined) return { witnesses, count: witnesses.length };
  if (/^[1-9]$/.test(count)) return { witnesses, count: Number(count) };
  return refuse('parameter_invalid', { hint: `cosigned is a number from 1 to ${MAX_WITNESSES}.` });
}
