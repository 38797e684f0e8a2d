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

/**
 * The entries from `from` up to, and without, `to`.
 * @param size of a signed head that covers them
 * @throws {CommandFailure}
 */
export async function* entryTexts(
  client: OperatorClient,
  { from, to, size }: { from: number; to: number; size: number },
): AsyncGenerator<Bundle> {
  for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < to; index += 1) {
    const tile = { level: 'entries', index, width: widthOfTile({ level: 'entries', index }, size) } as const;
    const path = `/v1/audit/${formatTilePath(tile)}`;
    const { body, requestId } = await client.ask({ may: MAY_READ, method: 'GET', path });
    const first = index * TILE_WIDTH;
    const entries = textsIn(body, { first, count: tile.width });
    yield { entries: entries.filter((entry) => entry.index >= from && entry.index < to), requestId };
  }
}

function textsIn({ data }: Json, { first, count }: { first: number; count: number }): EntryText[] {
  if (!Array.isArray(data)) return notUnderstood();
  const texts = data.map(textOf);
  const missing = Array.from({ length: count }, (_, at) => first + at).find(
    (index, at) => texts[at]?.index !== index,
  );
  if (missing !== undefined)
    fail('verification', `The log has no entry ${missing}, and its signed head covers it.`);
  return texts;
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
