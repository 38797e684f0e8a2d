/**
 * An event as one line of JSON that nothing in it can break out of. Names in entries may come from strangers; whatever
 * would end a line, move a cursor, turn the direction of the text or open a tag is spelled as a JSON escape. So the
 * line means the same to whoever parses it, and reads as it is to whoever does not.
 *
 * `native` is the entry itself: parsed and written again as RFC 8785 has it, it is the leaf of the log.
 */

import type { EntryDocument } from '../audit/entry-document.ts';
import { canonicalJson } from '../json/canonical-json.ts';
import { ocsfEvent } from './ocsf-event.ts';
import type { SinkEvent } from './sink-entry.ts';

export const EVENT_FORMATS = ['native', 'ocsf'] as const;
export type EventFormat = (typeof EVENT_FORMATS)[number];

/** Controls (C1, DEL), format and direction characters, line and paragraph separators, and what opens markup. */
const UNSAFE = /[<>&\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Longer than the longest action there is. */
const MAX_ACTION = 64;
const BEYOND_ASCII = /[^\x20-\x7e]/g;

export function eventText(format: EventFormat, event: SinkEvent): string {
  return written(format, event).replace(UNSAFE, escaped);
}

/** For a transport that says nothing of its encoding. */
export function asciiEventText(format: EventFormat, event: SinkEvent): string {
  return eventText(format, event).replace(BEYOND_ASCII, escaped);
}

function written(format: EventFormat, { index, document }: SinkEvent): string {
  try {
    return canonicalJson(format === 'native' ? document : ocsfEvent({ index, document }));
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const safe = withoutDetails(document, { unwritable: true });
    return canonicalJson(format === 'native' ? safe : ocsfEvent({ index, document: safe }));
  }
}

/** What is left of an entry that cannot be sent whole: who asks the log for its id gets the rest. */
export function withoutDetails(
  { id, at, action, outcome, repetitions }: EntryDocument,
  details: EntryDocument['details'],
): EntryDocument {
  return { id, at, action: action.slice(0, MAX_ACTION).toWellFormed(), outcome, repetitions, details };
}

/** As JSON spells UTF-16 (RFC 8259 §7), one escape for each code unit. */
function escaped(characters: string): string {
  let text = '';
  for (let index = 0; index < characters.length; index += 1) {
    text += `\\u${characters.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
  return text;
}
