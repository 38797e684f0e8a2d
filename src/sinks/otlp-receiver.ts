/**
 * OTLP/HTTP logs in the JSON encoding (https://opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"): names in
 * lowerCamelCase, 64-bit numbers as strings, enumerations as numbers. The body of each record is the event's text;
 * attributes are only what one filters by.
 *
 * A collector may take a request and throw some of it away without saying what ("partial success"). Such a request
 * must not be sent again, so all of it goes among the dead letters, where a person decides.
 */
import { gzipSync } from 'node:zlib';
import { JsonError, parseStrictJsonObject } from '../json/strict-json.ts';
import type { Clock } from '../time/clock.ts';
import { type EventFormat, eventText } from './event-text.ts';
import { createHttpReceiver, type HttpTarget } from './http-receiver.ts';
import type { createOutbound, OutboundAnswer } from './outbound-request.ts';
import type { Delivery, Receiver } from './receiver.ts';
import { isWarning, type SinkEvent } from './sink-entry.ts';

export const OTLP_LOGS_PATH = '/v1/logs';

/** `SeverityNumber` of the logs data model. */
const INFO = { severityNumber: 9, severityText: 'INFO' };
const WARN = { severityNumber: 13, severityText: 'WARN' };

export function createOtlpReceiver({
  format,
  target,
  compress,
  clock,
  post,
}: {
  format: EventFormat;
  target: HttpTarget;
  compress: boolean;
  clock: Clock;
  post?: ReturnType<typeof createOutbound>;
}): Receiver {
  return createHttpReceiver({
    target,
    accepted,
    ...(post === undefined ? {} : { post }),
    write: (batch: readonly SinkEvent[]) => {
      const now = `${Math.trunc(clock.milliseconds())}000000`;
      const text = Buffer.from(JSON.stringify(requestOf(batch.map((event) => recordOf(event, format, now)))));
      return {
        body: compress ? gzipSync(text) : text,
        headers: { 'Content-Type': 'application/json', ...(compress ? { 'Content-Encoding': 'gzip' } : {}) },
      };
    },
  });
}

function requestOf(logRecords: readonly object[]): object {
  const resource = { attributes: [attribute('service.name', 'mayfly')] };
  return { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'mayfly.audit' }, logRecords }] }] };
}

function recordOf({ index, document }: SinkEvent, format: EventFormat, observedTimeUnixNano: string): object {
  const { id, at, action, outcome, actor, session_id } = document;
  return {
    timeUnixNano: nanosecondsOf(at),
    observedTimeUnixNano,
    ...(isWarning(document) ? WARN : INFO),
    eventName: action,
    body: { stringValue: eventText(format, { index, document }) },
    attributes: [
      attribute('log.record.uid', id),
      attribute('mayfly.action', action),
      attribute('mayfly.outcome', outcome),
      ...(index === null ? [] : [{ key: 'mayfly.leaf_index', value: { intValue: String(index) } }]),
      ...(actor === undefined ? [] : [attribute('mayfly.actor', actor)]),
      ...(session_id === undefined ? [] : [attribute('mayfly.session_id', session_id)]),
    ],
  };
}

function attribute(key: string, value: string): object {
  return { key, value: { stringValue: value } };
}

/** An entry's time has microseconds; `Date` keeps only milliseconds. */
function nanosecondsOf(at: string): string {
  const milliseconds = Date.parse(at);
  const micro = /\.\d{3}(\d{1,3})Z$/.exec(at)?.[1] ?? '';
  return `${milliseconds}${micro.padEnd(6, '0')}`;
}

const BOUNDS = { maxDepth: 8, maxMembers: 100 };

/** `ExportLogsServiceResponse`. A collector that answers 2xx with something else has accepted all the same. */
function accepted({ body }: OutboundAnswer): Delivery {
  const { partialSuccess } = readAnswer(body);
  if (typeof partialSuccess !== 'object' || partialSuccess === null) return { outcome: 'accepted' };
  const { rejectedLogRecords } = partialSuccess as { rejectedLogRecords?: unknown };
  const entries = Number(rejectedLogRecords ?? 0);
  if (!Number.isSafeInteger(entries) || entries <= 0) return { outcome: 'accepted' };
  return { outcome: 'accepted', rejected: { entries, because: 'partial success' } };
}

function readAnswer(body: Buffer): Record<string, unknown> {
  try {
    return parseStrictJsonObject(body.toString('utf8'), BOUNDS);
  } catch (error) {
    if (error instanceof JsonError) return {};
    throw error;
  }
}
