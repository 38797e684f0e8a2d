/**
 * What a witness has cosigned last of each log, in a file. A cosignature leaves only after the file has reached the
 * disk, and the file belongs to one witness at a time: of two that share it, each could sign what the other must not.
 *
 * The possible worlds after a crash: the file is the old one, and nothing new was signed; or it is the new one, and
 * the new checkpoint was signed or was not. In each of them whatever was signed is in the file.
 */
import { z } from 'zod';
import { AuditFormatError } from '../audit/format-error.ts';
import { formatHash, parseHash } from '../audit/note-text.ts';
import type { SeenCheckpoint, TreeHead } from '../audit/trusted-log.ts';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { readFileIfAny, writeDurably } from './durable-file.ts';
import { fail } from './failure.ts';

export type WitnessState = {
  latest(origin: string): TreeHead | null;
  /** Once it returns, it is on the disk. When it throws, nothing may be signed. */
  keep(origin: string, seen: SeenCheckpoint): void;
};

const FORMAT = 'mayfly-witness-v1';
const MAX_LOGS = 1_000;

const schema = z.strictObject({
  format: z.literal(FORMAT),
  logs: z
    .array(
      z.strictObject({ origin: z.string(), size: z.int().nonnegative(), root: z.string(), note: z.string() }),
    )
    .max(MAX_LOGS),
});

/**
 * @param isNew whether it may be that there is no file yet: a witness that has signed and lost its file would sign
 * everything once more
 * @throws {CommandFailure}
 */
export function openWitnessState(path: string, { isNew }: { isNew: boolean }): WitnessState {
  const text = readFileIfAny(path);
  if (text === null && !isNew) {
    fail(
      'usage',
      `There is a key and no ${path}. Without what it has signed this witness would sign a fork: make a new key.`,
    );
  }
  let logs = text === null ? new Map<string, SeenCheckpoint>() : parsed(text, path);
  if (text === null) writeDurably(path, formatted(logs));
  return {
    latest: (origin) => logs.get(origin) ?? null,
    keep(origin, seen) {
      const next = new Map(logs).set(origin, seen);
      writeDurably(path, formatted(next));
      logs = next;
    },
  };
}

function formatted(logs: ReadonlyMap<string, SeenCheckpoint>): string {
  const told = [...logs].map(([origin, { size, root, note }]) => ({
    origin,
    size,
    root: formatHash(root),
    note,
  }));
  return `${JSON.stringify({ format: FORMAT, logs: told }, null, 2)}\n`;
}

function parsed(text: string, path: string): Map<string, SeenCheckpoint> {
  try {
    const { logs } = schema.parse(parseStrictJson(text, { maxDepth: 8, maxMembers: 8 * MAX_LOGS }));
    return new Map(
      logs.map(({ origin, size, root, note }) => [origin, { size, root: parseHash(root), note }]),
    );
  } catch (error) {
    if (!(error instanceof JsonError || error instanceof z.ZodError || error instanceof AuditFormatError))
      throw error;
    return fail(
      'usage',
      `${path} is no state of a witness. It is needed: without it this witness would sign a fork.`,
    );
  }
}
