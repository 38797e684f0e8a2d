/**
 * For whoever is about to store an entry: details that the log could not hold are replaced before they reach the
 * database, which would refuse the whole batch they are in.
 */
import { canonicalJson } from '../json/canonical-json.ts';
import { MAX_ENTRY_DEPTH } from './entry-document.ts';
import { jsonFaultOf } from './json-fault.ts';

/** Leaves room in the largest entry for everything else. */
export const MAX_DETAILS_BYTES = 49_152;

/** The same details; or, when they have no form in the log, details that say why. */
export function writableDetails(
  details: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const fault = jsonFaultOf(details, { maxDepth: MAX_ENTRY_DEPTH - 1, maxValues: MAX_DETAILS_BYTES });
  if (fault !== null) return { unwritable: fault };
  const text = canonicalJson(details);
  if (NUL.test(text)) return { unwritable: 'nul' };
  return Buffer.byteLength(text) <= MAX_DETAILS_BYTES ? details : { unwritable: 'too-large' };
}

/** The one character that Postgres stores nowhere, as JSON writes it. */
const NUL = /(?<!\\)(?:\\\\)*\\u0000/;

/** The same text; where it holds what no text of the database can, a mark stands in its place. */
export function writableText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}
