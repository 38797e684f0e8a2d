/**
 * One event as a syslog message (RFC 5424 §6), framed by its length (RFC 5425 §4.3.1, "octet counting"), so that no
 * byte in it can end it. Everything is ASCII: what is not is spelled as a JSON escape, and MSG needs no byte order mark.
 */
import { asciiEventText, type EventFormat, withoutDetails } from './event-text.ts';
import { isWarning, type SinkEvent } from './sink-entry.ts';

/** "log audit" (RFC 5424 §6.2.1) */
const FACILITY = 13;
const WARNING = 4;
const INFORMATIONAL = 6;

/** §6.2.7 */
const MAX_MESSAGE_ID = 32;
/** §6.2.4 */
const MAX_HOST_NAME = 255;
/** Of one value: an identifier or a name; the whole entry is in MSG. */
const MAX_VALUE = 128;

/**
 * The private enterprise number that stands for documentation (RFC 5612): mayfly has none of its own. Collectors match
 * the whole name.
 */
export const STRUCTURED_DATA_ID = 'mayfly@32473';

export type SyslogStyle = {
  format: EventFormat;
  /** Who sends: HOSTNAME. */
  hostName: string;
  /**
   * Receivers have to take 2,048 bytes and should take 8,192 (RFC 5425 §4.3.1), and cut what is longer. An event that
   * would be longer is sent without its details, marked `truncated`.
   */
  maxMessageBytes: number;
};

/** The frame: the message with its length before it. */
export function syslogFrame(event: SinkEvent, style: SyslogStyle): string {
  const message = syslogMessage(event, style);
  return `${message.length} ${message}`;
}

/** @returns ASCII, so that characters are bytes */
export function syslogMessage(event: SinkEvent, style: SyslogStyle): string {
  const whole = written(event, style, false);
  if (whole.length <= style.maxMessageBytes) return whole;
  const document = withoutDetails(event.document, { truncated: true });
  return written({ index: event.index, document }, style, true);
}

function written(
  { index, document }: SinkEvent,
  { format, hostName }: SyslogStyle,
  truncated: boolean,
): string {
  const priority = FACILITY * 8 + (isWarning(document) ? WARNING : INFORMATIONAL);
  const data = structuredData({
    id: document.id,
    leaf: index === null ? undefined : String(index),
    outcome: document.outcome,
    reason: document.reason,
    actor: document.actor,
    session: document.session_id,
    request: document.request_id,
    truncated: truncated ? 'true' : undefined,
  });
  const header = `<${priority}>1 ${document.at} ${word(hostName, MAX_HOST_NAME)} mayfly - ${word(document.action, MAX_MESSAGE_ID)}`;
  return `${header} ${data} ${asciiEventText(format, { index, document })}`;
}

function structuredData(values: Readonly<Record<string, string | undefined>>): string {
  const present = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return `[${STRUCTURED_DATA_ID}${present.map(([name, value]) => ` ${name}="${paramValue(value)}"`).join('')}]`;
}

/** §6.3.3: a quote, a backslash and a closing bracket are escaped, nothing else is. */
function paramValue(value: string): string {
  return printableAscii(value.slice(0, MAX_VALUE)).replace(/["\\\]]/g, '\\$&');
}

/** What is not printable ASCII, spelled as JSON would. */
function printableAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A field of the header: printable, without a space; `-` when there is nothing. */
function word(text: string, maxLength: number): string {
  return text.slice(0, maxLength).replace(/[^\x21-\x7e]/g, '?') || '-';
}
