/**
 * What a request's path is about, as the record may say it: an identifier that mayfly gave, or a declared name. What is
 * neither may be anything, a token too, and is told by its digest.
 */
import { createHash } from 'node:crypto';
import type { Call } from '../http/route.ts';
import { millisecondsOfIdentifier } from '../time/identifier.ts';

export type NamedTarget = { target?: string; target_sha256?: string };

export function namedTarget(
  { params }: Pick<Call, 'params'>,
  isDeclared: (name: string) => boolean,
): NamedTarget {
  const named = params.id ?? params.jti ?? params.kid;
  if (named === undefined) return {};
  const isOurs = millisecondsOfIdentifier(named) !== null || isDeclared(named);
  return isOurs ? { target: named } : { target_sha256: textDigest(named) };
}

/** For what cannot be written down as it is: the same text has the same digest. */
export function textDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
