/**
 * Histories of tokens and of what revokes them, told twice: as numbers and keys, which is all that the rule sees, and
 * as an order of events over tokens that know their true parents, which is what an oracle can be naive about.
 *
 * Children are ahead of the code: the broker delegates nothing yet. What is modelled of it is what L6 asks for, that
 * a child carries the keys of its ancestors and that every mint in its session looks at the token that opened it.
 */

import { ledgerKey, type RevocationTarget } from '../../src/revocations/revocation.ts';
import { type Revocable, tokenKeys } from '../../src/revocations/rule.ts';
import { fc } from '../properties.ts';
import { ACTIONS, AGENTS, RESOURCE, ZONES } from '../revocations/history.ts';

const KINDS = ['token', 'session', 'agent', 'zone', 'action', 'resource', 'subject', 'all'] as const;
export const KID = 'kid-1';

/** Rules that can be switched off, to see that a property notices. */
export const LEDGER_RULES = [
  'L3: a release is an entry',
  'L5: a pruned copy has a floor',
  'L6: a child carries the keys of its ancestors',
  'L6: every mint looks at the token that opened the session',
  'L7: every mint looks at the session',
  'L8: a larger epoch kills',
  'L8: what stands kills whatever the epoch',
  'L8: a revoked signing key kills whatever the epoch',
  'L9: the epoch is no newer than the checks',
] as const;
export type LedgerRule = (typeof LEDGER_RULES)[number];

export type Command =
  /** `after`: so many commands pass between its snapshot and its commit. */
  | { do: 'mint'; agent: string; actions: string[]; after: number }
  | { do: 'mint again'; pick: number; actions: string[] }
  | { do: 'exchange'; pick: number; agent: string; actions: string[] }
  | { do: 'forge'; agent: string; actions: string[]; epoch: number }
  | { do: 'revoke'; what: (typeof KINDS)[number]; pick: number; standing: boolean }
  | { do: 'release'; pick: number }
  | { do: 'revoke key'; kid: string };

const agent = fc.constantFrom(...AGENTS);
const actions = fc.subarray(ACTIONS, { minLength: 1 });
const pick = fc.nat(60);

export const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('mint' as const), agent, actions, after: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('mint again' as const), pick, actions }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('exchange' as const), pick, agent, actions }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('forge' as const), agent, actions, epoch: fc.nat(99) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('revoke' as const),
      what: fc.constantFrom(...KINDS),
      pick,
      standing: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), pick }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('revoke key' as const), kid: fc.constantFrom(KID, 'kid-9') }),
  },
);

export type Session = { id: string; at: number; epoch: number; agent: string; openedWith: Token | null };

export type Token = {
  /** When the snapshot of its checks was taken: what is revoked after that kills it. */
  at: number;
  epoch: number;
  jti: string;
  session: Session;
  actions: string[];
  isForged: boolean;
};

export function factsOf({ id, agent: name }: Session) {
  return { sessionId: id, clientId: name, subject: `id-of-${name}`, zone: ZONES[name] ?? '' };
}

export function ancestorsOf({ session }: Token): Token[] {
  const parent = session.openedWith;
  return parent === null ? [] : [parent, ...ancestorsOf(parent)];
}

export function revocable(token: Token, off?: LedgerRule): Revocable {
  const { session, jti, epoch } = token;
  const own = tokenKeys({ ...factsOf(session), jti, resource: RESOURCE, actions: token.actions });
  const inherited =
    off === 'L6: a child carries the keys of its ancestors' ? [] : ancestorsOf(token).flatMap(lineageKeys);
  const key = ledgerKey({ kind: 'signing-key', id: KID });
  return {
    epoch: off === 'L8: a larger epoch kills' ? epoch + 1 : epoch,
    keys: new Set([...own, ...inherited]),
    ...(off === 'L8: a revoked signing key kills whatever the epoch' ? {} : { signingKey: key }),
    exemptFromWide: false,
  };
}

/** What of an ancestor is carried (L6): not what it was good for, since a child has its own, narrower list. */
function lineageKeys({ jti, session }: Token) {
  return [
    ledgerKey({ kind: 'token', id: jti }),
    ledgerKey({ kind: 'session', id: session.id }),
    ledgerKey({ kind: 'agent', id: session.agent }),
    ledgerKey({ kind: 'zone', id: ZONES[session.agent] ?? '' }),
  ];
}

export function targetOf(
  { what, pick }: Command & { do: 'revoke' },
  tokens: readonly Token[],
): RevocationTarget {
  const token = tokens[pick % Math.max(1, tokens.length)];
  const name = AGENTS[pick % AGENTS.length] ?? '';
  const ids = {
    token: token?.jti ?? 'none',
    session: token?.session.id ?? 'none',
    agent: name,
    subject: `id-of-${name}`,
    zone: ZONES[name] ?? '',
    action: ACTIONS[pick % ACTIONS.length] ?? '',
    resource: RESOURCE,
  };
  return what === 'all' ? { kind: 'all' } : { kind: what, id: ids[what] };
}

/** What a person would say whom a target means, without keys. */
export function names(target: RevocationTarget, { id, agent: name }: Session): boolean {
  switch (target.kind) {
    case 'all':
      return true;
    case 'session':
      return target.id === id;
    case 'agent':
      return target.id === name;
    case 'subject':
      return target.id === `id-of-${name}`;
    case 'zone':
      return target.id === ZONES[name];
    default:
      return false;
  }
}

export function namesToken(target: RevocationTarget, { jti, session, actions: covered }: Token): boolean {
  if (target.kind === 'token') return target.id === jti;
  if (target.kind === 'action') return covered.includes(target.id);
  return target.kind === 'resource' || names(target, session);
}

export function namesLineage(target: RevocationTarget, { jti, session }: Token): boolean {
  if (target.kind === 'token') return target.id === jti;
  return target.kind !== 'subject' && names(target, session);
}
