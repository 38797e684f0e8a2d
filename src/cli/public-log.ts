/**
 * The log of a broker as anybody sees it, without a token: its head, its keys, its hashes. Nothing of it is believed
 * here; whoever asks holds it against a key that a person pinned.
 */
import { fromTiles, type LogTree } from '../audit/log-tree.ts';
import { formatTilePath, type Tile } from '../audit/tiles.ts';
import { CommandFailure, fail, refusedBy, unreachable } from './failure.ts';

export type ToldKeys = {
  origin: string;
  /** As lines; the newest is the last. */
  keys: readonly string[];
  handOvers: readonly string[];
};

export type PublicLog = {
  /** The signed note. */
  checkpoint(): Promise<string>;
  /** The newest that so many of these witnesses cosigned, null when there is none. */
  checkpointCosignedBy(quorum: { witnesses: readonly string[]; count: number }): Promise<string | null>;
  keys(): Promise<ToldKeys>;
  /** As many hashes as the tile is wide, one after another; null when the log does not have them all. */
  tile(tile: Tile): Promise<Buffer | null>;
  /** The log's tree as it was when it had so many leaves, as far as the hashes are true. */
  tree(size: number): LogTree;
};

const TIMEOUT_MILLISECONDS = 20_000;
const HASH_BYTES = 32;
const MAX_ANSWER_BYTES = 8_388_608;
const HTTP_NOT_FOUND = 404;

/** @param issuer an origin; what its log gives is asked for below it */
export function openPublicLog(issuer: string): PublicLog {
  async function get(path: string): Promise<{ status: number; headers: Headers; bytes: Buffer }> {
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
      const answer = await fetch(`${issuer}/v1/audit/${path}`, { redirect: 'error', signal });
      return { status: answer.status, headers: answer.headers, bytes: await bounded(answer.body ?? []) };
    } catch (error) {
      throw unreachable(issuer, error);
    }
  }

  async function read(path: string): Promise<Buffer> {
    const { status, headers, bytes } = await get(path);
    if (status === 200) return bytes;
    const [requestId, date] = [headers.get('request-id'), headers.get('date')];
    throw refusedBy({ status, body: objectOf(bytes), requestId, date, as: 'anybody' });
  }

  async function tile(which: Tile): Promise<Buffer | null> {
    const path = formatTilePath(which);
    const { status, bytes } = await get(path);
    if (status === HTTP_NOT_FOUND || (status === 200 && bytes.length !== which.width * HASH_BYTES)) {
      return null;
    }
    return status === 200 ? bytes : read(path);
  }

  async function checkpoint(query = ''): Promise<string> {
    return (await read(`checkpoint${query}`)).toString();
  }

  async function requiredTile(which: Tile): Promise<Buffer> {
    const hint = `The log has signed its head and does not have the hashes below it (${formatTilePath(which)}).`;
    return (await tile(which)) ?? fail('verification', hint);
  }

  return {
    checkpoint: () => checkpoint(),
    checkpointCosignedBy({ witnesses, count }) {
      const query = new URLSearchParams({ cosigned: String(count), witnesses: witnesses.join(',') });
      return checkpoint(`?${query}`).catch(nullIfMissing);
    },
    keys: async () => toldKeys(objectOf(await read('keys'))),
    tile,
    tree: (size) => fromTiles({ size, fetchTile: requiredTile }),
  };
}

/** The refusal of a log that has no such head. */
export function isHeadMissing(error: unknown): error is CommandFailure {
  return error instanceof CommandFailure && error.told?.code === 'checkpoint_missing';
}

function nullIfMissing(error: unknown): null {
  if (isHeadMissing(error)) return null;
  throw error;
}

async function bounded(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const held: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces) {
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) fail('server', 'What came back is longer than anything of a log.');
    held.push(piece);
  }
  return Buffer.concat(held);
}

function toldKeys({ origin, keys, hand_overs: handOvers }: Record<string, unknown>): ToldKeys {
  const lines = textsOf(keys, 'vkey');
  const notes = textsOf(handOvers, 'note');
  if (typeof origin !== 'string' || lines === null || notes === null) {
    return fail('server', 'What came back are no keys of a log.');
  }
  return { origin, keys: lines, handOvers: notes };
}

function textsOf(list: unknown, member: string): string[] | null {
  if (!Array.isArray(list)) return null;
  const texts = list.map((each) => each?.[member]);
  return texts.every((text) => typeof text === 'string') ? texts : null;
}

function objectOf(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
