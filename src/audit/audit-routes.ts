/**
 * The log over HTTP. Heads, hashes and keys are for anybody, so that whoever watches needs nothing of ours (C2SP
 * tlog-tiles); what entries say is for those who may read the record.
 */
import { didYouMean } from '../errors/nearest-name.ts';
import { refuse } from '../errors/refusal.ts';
import type { Form } from '../http/form.ts';
import { readChoice, readPage } from '../http/list.ts';
import type { Answer, Call } from '../http/route.ts';
import { encodeBase64url } from '../jws/base64url.ts';
import { formatEntryBundle } from './entry-bundle.ts';
import { ENTRY_ID, leafOfDocument } from './entry-document.ts';
import { ENTRY_ACTIONS, isEntryAction } from './entry-schemas.ts';
import type { EntryFilters, LogReader, PlacedEntry } from './entry-store.ts';
import { formatLogProof } from './log-proof.ts';
import { formatHash } from './note-text.ts';
import { type Quorum, readQuorum } from './read-quorum.ts';
import type { KeptCheckpoint, KeptHandOver } from './signed-head-store.ts';
import { parseTilePath, TILE_WIDTH, type Tile, widthOfTile } from './tiles.ts';
import { MissingHashError, type StoredTree } from './tree-store.ts';

export const AUDIT_PATH = '/v1/audit';

export type AuditRoutes = Record<
  'checkpoint' | 'tile' | 'keys' | 'list' | 'read' | 'bundle' | 'consistency',
  (call: Call) => Promise<Answer>
>;

/** A public key of the log as `GET /v1/audit/keys` tells it: a line to pin. */
export type PublishedKey = { kid: string; vkey: string };

const FILTERS = ['session', 'actor', 'agent', 'action', 'outcome', 'since', 'until'];
const TEXT = 'text/plain; charset=utf-8';
/** What a checkpoint covers never changes; a minute of it in a cache shows an older log, never another one. */
const NEVER_CHANGES = { 'Cache-Control': 'public, max-age=31536000, immutable' };
const CHANGES_EACH_SECOND = { 'Cache-Control': 'public, max-age=1' };

export function createAuditRoutes(options: {
  origin: string;
  reader: LogReader;
  tree: StoredTree;
  newestCheckpoint: () => Promise<KeptCheckpoint | null>;
  newestCosignedBy: (quorum: Quorum) => Promise<KeptCheckpoint | null>;
  /** The names of those who are asked to cosign. */
  witnesses: readonly string[];
  handOvers: () => Promise<KeptHandOver[]>;
  keys: () => Promise<readonly PublishedKey[]>;
}): AuditRoutes {
  const { origin, reader, tree, newestCheckpoint, newestCosignedBy, witnesses, handOvers, keys } = options;

  async function requireCheckpoint(): Promise<KeptCheckpoint> {
    return (
      (await newestCheckpoint()) ??
      refuse('checkpoint_missing', { hint: 'Nothing is signed yet. Ask again in a second.' })
    );
  }

  async function requireCosigned(quorum: Quorum): Promise<KeptCheckpoint> {
    const hint = `No recent head is cosigned by ${quorum.count} of ${quorum.witnesses.length} witnesses.`;
    return (await newestCosignedBy(quorum)) ?? refuse('checkpoint_missing', { hint });
  }

  /** Only what a checkpoint covers is served, so that it is never taken back. */
  async function requireTile(call: Call): Promise<Tile<number | 'entries'>> {
    const tile = parseTilePath(tilePathOf(call)) ?? refuse('tile_not_found');
    const { size } = (await newestCheckpoint()) ?? { size: 0 };
    if (tile.width > widthOfTile(tile, size))
      refuse('tile_not_found', { hint: `The log has ${size} entries.` });
    return tile;
  }

  async function proofOf(index: number): Promise<string | null> {
    const { size, note } = (await newestCheckpoint()) ?? { size: 0, note: '' };
    if (index >= size) return null; // not signed yet
    return formatLogProof({ index, proof: await tree.inclusion({ index, size }), checkpoint: note });
  }

  return {
    async checkpoint({ query }) {
      const quorum = readQuorum(query, witnesses);
      const { note } = await (quorum === null ? requireCheckpoint() : requireCosigned(quorum));
      return { text: note, headers: { 'Content-Type': TEXT, ...CHANGES_EACH_SECOND } };
    },
    async tile(call) {
      const { level, index, width } = await requireTile(call);
      if (level === 'entries') return refuse('tile_not_found');
      return bytesAnswer(await tree.tile({ level, index, width }).catch(refuseWanting), NEVER_CHANGES);
    },
    async bundle(call) {
      const { index, width } = await requireTile(call);
      const entries = await reader.readFrom(index * TILE_WIDTH, width);
      if (wantsJson(call)) return { body: { data: entries.map(tellText) } };
      const bytes = entries.map(({ entry }) =>
        entry === null ? refuse('entry_text_dropped') : leafOfDocument(entry, { isParsed: true }).bytes,
      );
      return bytesAnswer(formatEntryBundle(bytes));
    },
    async keys() {
      const [published, notes] = [await keys(), await handOvers()];
      return {
        body: {
          origin,
          keys: published.map(({ vkey, kid }) => ({ vkey, kid })),
          hand_overs: notes.map(({ size, note }) => ({ size, note })),
        },
      };
    },
    async list({ query }) {
      const { after, limit } = readPage(query, { filters: FILTERS, isIdentifier: isIndex });
      const before = after === null ? null : Number(after);
      const { entries, next } = await reader.list(readFilters(query), { before, limit });
      return {
        body: {
          data: entries.map(tellEntry),
          next_cursor: next === null ? null : encodeBase64url(String(next)),
        },
      };
    },
    async read({ params }) {
      const id = params.id ?? '';
      const found = ENTRY_ID.test(id) ? await reader.find(id) : null;
      const { index, hash, entry } = found ?? refuse('entry_not_found');
      return {
        body: {
          id,
          index,
          leaf_hash: hash === null ? null : formatHash(hash),
          entry,
          proof: index === null ? null : await proofOf(index),
        },
      };
    },
    async consistency({ query }) {
      const { size, note } =
        (await newestCheckpoint()) ?? refuse('parameter_invalid', { hint: 'Nothing is signed yet.' });
      const [first, second] = [readSize(query, 'from', 0), readSize(query, 'to', size)];
      if (first > second || second > size) {
        refuse('parameter_invalid', {
          hint: `from and to are sizes of the log, and it has ${size} entries.`,
        });
      }
      const proof = await tree.consistency({ first, second });
      const body = { from: first, to: second, proof: proof.map(formatHash), checkpoint: note };
      return query.one('to') === undefined ? { body } : { body, headers: NEVER_CHANGES };
    },
  };
}

/** Rows that were removed are not a broker that fails: whoever verifies has to be able to tell which are gone. */
function refuseWanting(error: unknown): never {
  if (!(error instanceof MissingHashError)) throw error;
  return refuse('tile_not_found', { hint: 'The log has signed it and does not have it any more.' });
}

function tellEntry({ index, hash, entry }: PlacedEntry) {
  return { index, leaf_hash: formatHash(hash), ...entry };
}

/** With a place for what has no text any more, which a bundle has not. */
function tellText({ index, hash, entry }: PlacedEntry) {
  const document = entry === null ? null : leafOfDocument(entry, { isParsed: true }).bytes.toString();
  return { index, leaf_hash: formatHash(hash), document };
}

/** Only who names it: whoever takes anything gets the bundle of the standard. */
function wantsJson({ request }: Call): boolean {
  const ranges = (request.headers.accept ?? '').split(',');
  return ranges.some((range) => range.split(';')[0]?.trim().toLowerCase() === 'application/json');
}

/** From the line of the request: a path of many segments has no one name. */
function tilePathOf({ request }: Call): string {
  const [path = ''] = (request.url ?? '').split('?');
  return path.slice(`${AUDIT_PATH}/`.length);
}

function bytesAnswer(bytes: Uint8Array, caching: Record<string, string> = {}): Answer {
  return { bytes, headers: { 'Content-Type': 'application/octet-stream', ...caching } };
}

function readFilters(query: Form): EntryFilters {
  return {
    session: query.one('session'),
    actor: query.one('actor'),
    agent: query.one('agent'),
    action: readAction(query),
    outcome: readChoice(query, 'outcome', ['allowed', 'refused']),
    since: readMoment(query, 'since'),
    until: readMoment(query, 'until'),
  };
}

/** A list of nothing would hide that nobody knows such an action. */
function readAction(query: Form): string | undefined {
  const action = query.one('action');
  if (action === undefined || isEntryAction(action)) return action;
  const hint = `${didYouMean(action, ENTRY_ACTIONS)}The actions of entries are ${ENTRY_ACTIONS.join(', ')}.`;
  return refuse('parameter_invalid', { hint });
}

const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?Z$/;

/** To the letter: a `Date` would forget microseconds and take the 30th of February for the 2nd of March. */
function readMoment(query: Form, name: string): string | undefined {
  const text = query.one(name);
  if (text === undefined) return undefined;
  const moment = new Date(text);
  const isThere = !Number.isNaN(moment.getTime()) && moment.toISOString().slice(0, 19) === text.slice(0, 19);
  if (MOMENT.test(text) && isThere) return text;
  return refuse('parameter_invalid', { hint: `${name} is a moment in UTC, e.g. 2026-11-23T08:00:00Z.` });
}

function readSize(query: Form, name: string, fallback: number): number {
  const text = query.one(name);
  if (text === undefined) return fallback;
  if (isIndex(text)) return Number(text);
  return refuse('parameter_invalid', { hint: `${name} is a size of the log, a whole number.` });
}

function isIndex(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,14})$/.test(text);
}
