/**
 * The head that a reader who insists on witnesses is shown. They sign a moment after the log does, so it is not the
 * newest, but the newest that they have signed; and since he remembers the largest that he saw, one that is no older.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { TrustPolicy } from '../audit/judge-checkpoint.ts';
import { sizeIn } from '../audit/judge-live.ts';
import type { TrustedLog } from '../audit/trusted-log.ts';
import type { PublicLog } from './public-log.ts';

/** A witness is asked each second. */
const PATIENCE_MILLISECONDS = 10_000;
const LOOK_MILLISECONDS = 500;

/** @returns null when nobody is insisted on, or they have signed nothing that is new enough */
export async function witnessedHead(
  log: Pick<PublicLog, 'checkpointCosignedBy'>,
  { trusted, policy }: { trusted: Pick<TrustedLog, 'newest'>; policy: TrustPolicy },
  atLeast = trusted.newest?.size ?? 0,
): Promise<string | null> {
  const { witnesses = [], quorum = 0 } = policy;
  const names = [...new Set(witnesses.map(({ name }) => name))];
  if (quorum === 0 || quorum > names.length) return null;
  const until = performance.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const head = await log.checkpointCosignedBy({ witnesses: names, count: quorum });
    if (head !== null && (sizeIn(head) ?? 0) >= atLeast) return head;
    if (performance.now() > until) return null;
    await wait(LOOK_MILLISECONDS);
  }
}
