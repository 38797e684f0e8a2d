/**
 * The one form of an entry that is hashed into the tree, served and exported: a JSON object in its canonical bytes
 * (RFC 8785), so that no two entries have the same bytes and no entry has two. What is absent is absent; null, the
 * empty text and absence are three different things.
 *
 * An entry that cannot be written so would stop the log for everybody behind it. So its place is taken by an entry of
 * the same name that says what was wrong, and the caller is told.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '../json/canonical-json.ts';
import { MAX_ENTRY_BYTES } from './entry-bundle.ts';
import { isWellParsed, type JsonFault, jsonFaultOf } from './json-fault.ts';

export type EntryRow = {
  /** `aud_…`; its 80 random bits keep a leaf hash from being guessed once the bytes are gone. */
  id: string;
  /** UTC with microseconds: `2026-11-23T08:00:00.123456Z`. */
  at: string;
  action: string;
  outcome: 'allowed' | 'refused';
  reason?: string | null;
  requestId?: string | null;
  actor?: string | null;
  sessionId?: string | null;
  tokenId?: string | null;
  repetitions: number;
  details: Readonly<Record<string, unknown>>;
};

/** One entry as the log hashes it: its canonical JSON is the leaf. Absent members are absent, never null. */
export type EntryDocument = {
  /** What a receiver knows a repetition by. */
  id: string;
  at: string;
  /** Past tense: `token.minted`. */
  action: string;
  outcome: 'allowed' | 'refused';
  reason?: string;
  request_id?: string;
  actor?: string;
  session_id?: string;
  token_id?: string;
  /** How many identical refusals this entry stands for. */
  repetitions: number;
  details: Readonly<Record<string, unknown>>;
};

export type EntryFault = JsonFault | 'too-large';

/** `fault` is null, or why the bytes stand for the entry without holding it. */
export type EntryLeaf = { bytes: Buffer; fault: EntryFault | null };

export class EntryFaultError extends Error {
  override readonly name = 'EntryFaultError';
  readonly fault: EntryFault;

  constructor(fault: EntryFault) {
    super(`the entry has no form in the log: ${fault}`);
    this.fault = fault;
  }
}

/** Containers within containers of one entry; far below what a parser of JSON gives up at. */
export const MAX_ENTRY_DEPTH = 16;
export { MAX_ENTRY_BYTES };

/** As the table has it: whoever writes a line by hand in an emergency has no generator of names. */
export const ENTRY_ID = /^aud_[0-9A-Za-z_-]{1,76}$/;
const AT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$/;
const ACTION = /^(?=.{3,65}$)[a-z][a-z_]*\.[a-z][a-z_]*$/;

export function entryDocument(row: EntryRow): EntryDocument {
  const { id, at, action, outcome, reason, requestId, actor, sessionId, tokenId, repetitions, details } = row;
  const document: EntryDocument = { id, at, action, outcome, repetitions, details };
  if (isPresent(reason)) document.reason = reason;
  if (isPresent(requestId)) document.request_id = requestId;
  if (isPresent(actor)) document.actor = actor;
  if (isPresent(sessionId)) document.session_id = sessionId;
  if (isPresent(tokenId)) document.token_id = tokenId;
  return document;
}

function isPresent(value: string | null | undefined): value is string {
  return value !== null && value !== undefined;
}

/** `isParsed`: it came from a parser of JSON, e.g. out of the database, and has neither cycles nor accessors. */
type Origin = { isParsed?: boolean };

const BOUNDS = { maxDepth: MAX_ENTRY_DEPTH, maxValues: MAX_ENTRY_BYTES };

/**
 * The canonical bytes.
 * @throws {EntryFaultError} when the document has none, or too many
 */
export function entryBytes(document: EntryDocument, { isParsed = false }: Origin = {}): Buffer {
  const fault = isParsed && isWellParsed(document, BOUNDS) ? null : jsonFaultOf(document, BOUNDS);
  if (fault !== null) throw new EntryFaultError(fault);
  const bytes = Buffer.from(canonicalJson(document));
  if (bytes.length > MAX_ENTRY_BYTES) throw new EntryFaultError('too-large');
  return bytes;
}

/**
 * What goes into the tree for this row. Depends on nothing but the row, so that whoever has the row finds the same.
 * @throws {TypeError} when not even the id, the time, the action and the outcome are such: no entry of ours
 */
export function leafOfEntry(row: EntryRow, origin: Origin = {}): EntryLeaf {
  refuseStrangers(row);
  const { bytes, fault } = logged(entryDocument(row), origin);
  return { bytes, fault };
}

/** The document whose bytes are in the tree: of a row that cannot be written, the one in its place. */
export function loggedDocument(row: EntryRow): EntryDocument {
  return logged(entryDocument(row)).document;
}

/** The same for a document that was made of a row: for whoever serves or checks what the tree holds already. */
export function leafOfDocument(document: EntryDocument, origin: Origin = {}): EntryLeaf {
  const { bytes, fault } = logged(document, origin);
  return { bytes, fault };
}

function logged(document: EntryDocument, origin: Origin = {}): EntryLeaf & { document: EntryDocument } {
  try {
    return { document, bytes: entryBytes(document, origin), fault: null };
  } catch (error) {
    if (!(error instanceof EntryFaultError)) throw error;
    const inItsPlace = placeholder(document, error.fault);
    return { document: inItsPlace, bytes: entryBytes(inItsPlace), fault: error.fault };
  }
}

function refuseStrangers({ id, at, action, outcome, repetitions }: EntryRow): void {
  const isEntry =
    ENTRY_ID.test(id) &&
    AT.test(at) &&
    ACTION.test(action) &&
    (outcome === 'allowed' || outcome === 'refused') &&
    Number.isSafeInteger(repetitions) &&
    repetitions > 0;
  if (!isEntry)
    throw new TypeError('an entry has an aud_… id, a time in microseconds, an action and an outcome');
}

/** What is merely too large has canonical bytes, and their digest still ties the entry down. */
function placeholder(document: EntryDocument, fault: EntryFault): EntryDocument {
  const { id, at, action, outcome, repetitions } = document;
  const isWritable =
    jsonFaultOf(document, { maxDepth: MAX_ENTRY_DEPTH, maxValues: MAX_DIGESTED_VALUES }) === null;
  const digest = isWritable
    ? { sha256: createHash('sha256').update(canonicalJson(document)).digest('hex') }
    : {};
  return { id, at, action, outcome, repetitions, details: { unwritable: fault, ...digest } };
}

/** An entry with more values than that is not even read to its end. */
const MAX_DIGESTED_VALUES = 1_000_000;
