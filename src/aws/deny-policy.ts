/**
 * What stands on a role to deny credentials that AWS would still take: the rule of the ledger (L8) in IAM's words. An
 * entry kills what carries one of its keys and was issued at a smaller epoch, and session tags say both; so whoever is
 * let in again after a release is not denied, and nothing has to be taken back before it ends by itself.
 *
 * Tags have no word for an action or a single token: there the sessions of AWS are named, which are called like tokens.
 * Where the exact policy would be too large, everything from before the newest entry is denied: a neighbour's
 * credentials, too, for as long as they live and until its next token.
 */
import type { TargetKind } from '../revocations/revocation.ts';

export type Denied = {
  epoch: number;
  kind: TargetKind;
  target: string;
  /** Of those that no tag names: their tokens. Null for the others. */
  tokens: readonly string[] | null;
};

/** IAM counts all inline policies of a role together (10,240, without white space): the larger part is left to others. */
export const MAX_EXACT_CHARACTERS = 4_096;

type Condition = Record<string, Record<string, string | string[]>>;

const SESSION = 'aws:PrincipalTag/mayfly-session';
const EPOCH = 'aws:PrincipalTag/mayfly-epoch';

/** @returns JSON, or null when nothing is to be denied */
export function exactDenyPolicy(denied: readonly Denied[]): string | null {
  if (denied.length === 0) return null;
  const everything = newestOf(denied.filter(({ kind }) => kind === 'all' || kind === 'resource'));
  const others = denied.filter(({ epoch }) => epoch > everything);
  const tokens = others.flatMap(({ kind, target, tokens: named }) =>
    kind === 'token' ? [target] : (named ?? []),
  );
  return policyOf([
    ...(everything === 0 ? [] : [issuedBefore(everything)]),
    ...namedBy('mayfly-agent', others, 'agent'),
    ...namedBy('mayfly-zone', others, 'zone'),
    ...listed('StringEquals', SESSION, targetsOf(others, 'session')),
    // AWS calls the session of a role `<id of the role>:<session name>`
    ...listed(
      'StringLike',
      'aws:userid',
      [...new Set(tokens)].sort().map((token) => `*:${token}`),
    ),
  ]);
}

/** Wider than needed, and always small. */
export function wideDenyPolicy(denied: readonly Denied[]): string | null {
  return denied.length === 0 ? null : policyOf([issuedBefore(newestOf(denied))]);
}

export function denyPolicy(denied: readonly Denied[]): string | null {
  const exact = exactDenyPolicy(denied);
  return exact !== null && exact.length > MAX_EXACT_CHARACTERS ? wideDenyPolicy(denied) : exact;
}

function policyOf(conditions: readonly Condition[]): string {
  const statements = conditions.map((Condition) => ({
    Effect: 'Deny',
    Action: '*',
    Resource: '*',
    Condition,
  }));
  return JSON.stringify({ Version: '2012-10-17', Statement: statements });
}

/** Of one name only the newest entry counts: it covers the others. */
function namedBy(tag: string, denied: readonly Denied[], kind: TargetKind): Condition[] {
  return targetsOf(denied, kind).map((name) => ({
    StringEquals: { [`aws:PrincipalTag/${tag}`]: name },
    ...issuedBefore(newestOf(denied.filter((each) => each.kind === kind && each.target === name))),
  }));
}

function listed(operator: string, key: string, values: string[]): Condition[] {
  return values.length === 0 ? [] : [{ [operator]: { [key]: values } }];
}

function issuedBefore(epoch: number): Condition {
  return { NumericLessThan: { [EPOCH]: String(epoch) } };
}

function targetsOf(denied: readonly Denied[], kind: TargetKind): string[] {
  const names = denied.filter((each) => each.kind === kind).map(({ target }) => target);
  return [...new Set(names)].sort();
}

function newestOf(denied: readonly Denied[]): number {
  return Math.max(0, ...denied.map(({ epoch }) => epoch));
}
