/**
 * Whoever reads the record leaves an entry in it. That this one gets its place in the signed log, and soon, shows that
 * the log is being kept: entries that wait are not proved yet, and an administrator could still lose them.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { sizeIn } from '../audit/judge-live.ts';
import { entryTexts } from './entry-texts.ts';
import type { OperatorClient } from './operator-client.ts';
import type { PublicLog } from './public-log.ts';

/** An entry has its place after a second. */
export const OWN_ENTRY_SECONDS = 10;
const LOOK_MILLISECONDS = 500;

/**
 * @param from the size of the log before the request
 * @returns its index, or null when it has none after {@link OWN_ENTRY_SECONDS}
 */
export async function placeOfOwnEntry(
  { client, log }: { client: OperatorClient; log: PublicLog },
  { requestId, from }: { requestId: string; from: number },
): Promise<number | null> {
  const until = performance.now() + OWN_ENTRY_SECONDS * 1_000;
  let next = from;
  while (performance.now() < until) {
    const size = sizeIn(await log.checkpoint()) ?? 0;
    if (size > next) {
      for await (const { entries } of entryTexts(client, { from: next, to: size, size })) {
        const own = entries.find(({ document }) => requestIdIn(document) === requestId);
        if (own !== undefined) return own.index;
      }
      next = size;
    }
    await wait(LOOK_MILLISECONDS);
  }
  return null;
}

function requestIdIn(document: string | null): unknown {
  try {
    return JSON.parse(document ?? 'null')?.request_id;
  } catch {
    return undefined;
  }
}
