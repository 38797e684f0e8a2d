/**
 * An entry as an event of the Open Cybersecurity Schema Framework ({@link OCSF_VERSION}). What the schema has no place
 * for stands under `unmapped`, so that nothing of the entry is missing; its id is `metadata.uid`, by which a receiver
 * knows a repetition.
 */
import { isIP } from 'node:net';
import type { EntryDocument } from '../audit/entry-document.ts';
import { OCSF_CLASSES, OCSF_VERSION, type OcsfRow, ocsfRow } from './ocsf-classes.ts';
import { isChallenge, isWarning, type SinkEvent } from './sink-entry.ts';

type Attributes = Record<string, unknown>;

const PRODUCT = { name: 'mayfly', vendor_name: 'mayfly' };
/** The schema demands a user, a source or an entity where an entry may know of none. */
const UNKNOWN = 'unknown';
const OAUTH = { auth_protocol: 'OAUTH 2.0', auth_protocol_id: 6 };
const OTHER = 99;
const LOW = 2;
const SEVERITIES = ['Unknown', 'Informational', 'Low', 'Medium', 'High'];

export function ocsfEvent({ index, document }: SinkEvent): Attributes {
  const row = ocsfRow(document);
  const { uid, caption, category, categoryCaption } = OCSF_CLASSES[row.kind];
  const severity = isWarning(document) ? Math.max(row.severity, LOW) : row.severity;
  return {
    class_uid: uid,
    class_name: caption,
    category_uid: category,
    category_name: categoryCaption,
    activity_id: row.activity,
    activity_name: row.caption,
    type_uid: uid * 100 + row.activity,
    type_name: `${caption}: ${row.caption}`,
    severity_id: severity,
    severity: SEVERITIES[severity],
    ...statusOf(document),
    ...(document.reason === undefined
      ? {}
      : { status_code: document.reason, status_detail: document.reason }),
    time: Date.parse(document.at),
    ...(document.repetitions > 1 ? { count: document.repetitions } : {}),
    message: `${document.action} ${document.outcome}`,
    metadata: metadataOf(document),
    ...PARTS[row.kind](document),
    unmapped: {
      ...(index === null ? {} : { leaf_index: index }),
      ...(document.token_id === undefined ? {} : { token_id: document.token_id }),
      details: document.details,
    },
  };
}

function statusOf(document: EntryDocument): Attributes {
  if (isChallenge(document)) return { status_id: OTHER, status: 'Other' };
  return document.outcome === 'refused'
    ? { status_id: 2, status: 'Failure' }
    : { status_id: 1, status: 'Success' };
}

function metadataOf({ id, at, action, request_id }: EntryDocument): Attributes {
  return {
    version: OCSF_VERSION,
    product: PRODUCT,
    uid: id,
    original_event_uid: id,
    event_code: action,
    log_name: 'audit',
    original_time: at,
    ...(request_id === undefined ? {} : { correlation_uid: request_id }),
  };
}

/** What each class demands or recommends, over and above what every event has. */
const PARTS: Readonly<Record<OcsfRow['kind'], (document: EntryDocument) => Attributes>> = {
  base: () => ({}),
  account: (document) => ({
    actor: actorOf(document),
    user: { name: textOf(document.details.target) ?? UNKNOWN, type: 'agent', type_id: OTHER },
  }),
  authentication: (document) => ({
    user: userOf(document),
    service: PRODUCT_SERVICE,
    ...OAUTH,
    is_remote: true,
    ...optional('session', sessionOf(document)),
    ...optional('src_endpoint', sourceOf(document)),
  }),
  entity: (document) => ({ actor: actorOf(document), entity: entityOf(document) }),
  api: (document) => ({
    actor: actorOf(document),
    api: {
      operation: document.action,
      service: PRODUCT_SERVICE,
      ...optional('request', document.request_id === undefined ? undefined : { uid: document.request_id }),
    },
    src_endpoint: sourceOf(document) ?? { name: UNKNOWN },
  }),
};

const PRODUCT_SERVICE = { name: 'mayfly' };

const optional = (name: string, value: unknown): Attributes => (value === undefined ? {} : { [name]: value });

function userOf({ actor }: EntryDocument): Attributes {
  return actor === undefined ? { name: UNKNOWN, type_id: 0 } : { name: actor, type_id: 4 };
}

function actorOf(document: EntryDocument): Attributes {
  return { user: userOf(document), ...optional('session', sessionOf(document)) };
}

function sessionOf({ session_id }: EntryDocument): Attributes | undefined {
  return session_id === undefined ? undefined : { uid: session_id };
}

/** Folded refusals name a network instead of an address. */
function sourceOf({ details }: EntryDocument): Attributes | undefined {
  const source = textOf(details.source);
  if (source === undefined) return undefined;
  return isIP(source) === 0 ? { name: source } : { ip: source };
}

function entityOf({ action, details }: EntryDocument): Attributes {
  const [noun = UNKNOWN] = action.split('.');
  const uid = textOf(details.kid) ?? textOf(details.target);
  return {
    ...(uid === undefined ? { name: textOf(details.kind) ?? noun } : { uid }),
    type: textOf(details.kind) ?? noun,
    type_id: OTHER,
    ...optional('version', textOf(details.version)),
  };
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
