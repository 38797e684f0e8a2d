/** The entries of a log as the broker gives them to those who may read the record: bundle by bundle, in their order. */

import { AuditFormatError } from '../audit/format-error.ts';
import { parseHash } from '../audit/note-text.ts';
import { formatTilePath, TILE_WIDTH, widthOfTile } from '../audit/tiles.ts';
import { fail } from './failure.ts';
import type { Json, OperatorClient } from './operator-client.ts';

/** `document` is the canonical JSON; null where its retention has passed. Nothing of it is verified. */
export type EntryText = { index: number; leaf: Buffer; document: string | null };

export type Bundle = { entries: EntryText[]; requestId: string | null };

export const MAY_READ = 'mayfly:read:audit';

type Range = { from: number; to: number; size: number };

/**
 * The entries from `from` up to, and without, `to`.
 * @param range.size of a signed head that covers them
 * @throws {CommandFailure} also when one of them is wanting
 */
export async function* entryTexts(client: OperatorClient, range: Range): AsyncGenerator<Bundle> {
  const { from, to } = range;
  let next = from;
  for await (const { entries, requestId } of shownTexts(client, range)) {
    const within = entries.filter(({ index }) => index >= from && index < to);
    for (const { index } of within) {
      if (index !== next)
        fail('verification', `The log has no entry ${next}, and its signed head covers it.`);
      next += 1;
    }
    yield { entries: within, requestId };
  }
  if (next < to) fail('verification', `The log has no entry ${next}, and its signed head covers it.`);
}

/** Whole bundles as they are shown, whatever is wanting in them: for whoever looks for that. */
export async function* shownTexts(client: OperatorClient, { from, to, size }: Range): AsyncGenerator<Bundle> {
  for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < to; index += 1) {
    const tile = { level: 'entries', index, width: widthOfTile({ level: 'entries', index }, size) } as const;
    const path = `/v1/audit/${formatTilePath(tile)}`;
    const { body, requestId } = await client.ask({ may: MAY_READ, method: 'GET', path });
    yield { entries: textsIn(body), requestId };
  }
}

function textsIn({ data }: Json): EntryText[] {
  return Array.isArray(data) ? data.map(textOf) : notUnderstood();
}

function textOf(each: { index?: unknown; leaf_hash?: unknown; document?: unknown } | null): EntryText {
  const { index, leaf_hash: hash, document } = each ?? {};
  const isText = typeof document === 'string' || document === null;
  if (typeof index !== 'number' || typeof hash !== 'string' || !isText) return notUnderstood();
  try {
    return { index, leaf: parseHash(hash), document };
  } catch (error) {
    if (error instanceof AuditFormatError) return notUnderstood();
    throw error;
  }
}

function notUnderstood(): never {
  return fail('server', 'What came back are no entries of a log.');
}
