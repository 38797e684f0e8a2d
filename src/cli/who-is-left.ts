/**
 * Operators are stopped like anybody else, and what the kill switch stops another operator has to release. Whoever
 * stops one of two is told what that means, before it is needed.
 */

import { pagesOf } from './list-pages.ts';
import type { Json, OperatorClient } from './operator-client.ts';
import { plainText } from './plain-text.ts';

const MAX_OPERATORS = 1_000;
const MAY = 'mayfly:read:agents';
/** Whoever may engage and release the switch. */
const ROLES = ['admin', 'security'];

/** @returns null when two are left, when it is no operator, or when that cannot be found out now */
export async function warningOfWhoIsLeft(client: OperatorClient, stopped: string): Promise<string | null> {
  try {
    const operators: Json[] = [];
    const request = {
      may: MAY,
      path: '/v1/agents',
      query: { kind: 'operator' },
      limit: MAX_OPERATORS,
    } as const;
    for await (const { rows } of pagesOf(client, request)) operators.push(...rows);
    return warningOf(operators, stopped);
  } catch {
    return null; // a warning is no reason to fail
  }
}

/** @param operators as the management API lists them */
export function warningOf(operators: readonly Json[], stopped: string): string | null {
  const hit = operators.find(({ id, name }) => stopped === id || stopped === name);
  if (hit === undefined) return null;
  const left = operators.filter((each) => each !== hit && mayRelease(each)).map(({ name }) => String(name));
  if (left.length >= 2) return null;
  const who = left[0] === undefined ? 'no operator is' : `only ${left[0]} is`;
  return plainText(
    `Careful: with ${String(hit.name)} stopped, ${who} left who may use the kill switch, and whoever engages it cannot ` +
      'release it. Then only --database-url can.',
  );
}

function mayRelease({ roles, stopped_by: stoppedBy }: Json): boolean {
  const isStopped = Array.isArray(stoppedBy) && stoppedBy.length > 0;
  return !isStopped && Array.isArray(roles) && roles.some((role) => ROLES.includes(role));
}
