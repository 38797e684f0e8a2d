import { ledgerKey, type Revocation, type RevocationTarget } from '../../src/revocations/revocation.ts';
import { tokenKeys } from '../../src/revocations/rule.ts';
import { fc } from '../properties.ts';

/*
 * Histories are generated as commands; a naive oracle replays the order of events and looks at the true fields of
 * tokens. The rule sees only numbers and keys.
 */
export const AGENTS = ['reporter', 'mailer'];
export const ZONES: Record<string, string> = { reporter: 'analytics', mailer: 'office' };
export const ACTIONS = ['db:read:customers', 'storage:read:files'];
export const RESOURCE = 'https://customers.example.com';

export type Command =
  | { do: 'mint'; agent: string; actions: string[] }
  | {
      do: 'revoke';
      what: 'token' | 'session' | 'agent' | 'zone' | 'action' | 'resource' | 'subject' | 'all';
      pick: number;
      standing: boolean;
    }
  | { do: 'release'; pick: number }
  | { do: 'revokeKey'; kid: string };

export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('mint' as const),
      agent: fc.constantFrom(...AGENTS),
      actions: fc.subarray(ACTIONS, { minLength: 1 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('revoke' as const),
      what: fc.constantFrom('token', 'session', 'agent', 'zone', 'action', 'resource', 'subject', 'all'),
      pick: fc.nat(50),
      standing: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), pick: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('revokeKey' as const), kid: fc.constantFrom('kid-1', 'kid-9') }),
  },
);

export type Token = {
  at: number;
  agent: string;
  actions: string[];
  jti: string;
  sessionId: string;
  kid: string;
};
export type Event = { at: number; matches: (token: Token) => boolean; standing: boolean; released: boolean };

/** The ledger of the rule and the events of the oracle, side by side. */
export function replay(commands: readonly Command[]) {
  const tokens: (Token & { epoch: number })[] = [];
  const events: Event[] = [];
  const entries: Revocation[] = [];
  const targets: RevocationTarget[] = [];
  const keysRevoked = new Set<string>();

  const append = (target: RevocationTarget, extra: Partial<Revocation>) => {
    const epoch = entries.length + 1;
    entries.push({
      epoch,
      key: ledgerKey(target),
      standing: false,
      releasedEpoch: null,
      releases: null,
      ...extra,
    });
    targets.push(target);
    return epoch;
  };

  commands.forEach((next, at) => {
    if (next.do === 'mint') {
      const jti = `tok-${at}`;
      tokens.push({ at, epoch: entries.length, jti, sessionId: `ses-${at}`, kid: 'kid-1', ...next });
    } else if (next.do === 'revokeKey') {
      keysRevoked.add(next.kid);
      append({ kind: 'signing-key', id: next.kid }, {});
    } else if (next.do === 'revoke') {
      const { target, matches } = targetOf(next, tokens);
      append(target, { standing: next.standing });
      events.push({ at, matches, standing: next.standing, released: false });
    } else {
      const standing = entries.filter((entry) => entry.standing && entry.releasedEpoch === null);
      const entry = standing[next.pick % Math.max(1, standing.length)];
      const index = entry === undefined ? -1 : entry.epoch - 1;
      const target = targets[index];
      if (entry === undefined || target === undefined) return;
      entry.releasedEpoch = append(target, { releases: entry.epoch });
      const event = events.find(
        (candidate) => candidate.standing && !candidate.released && sameOrder(candidate, entry),
      );
      if (event !== undefined) event.released = true;
    }
  });

  /** Events and ordinary entries were made in the same order: the n-th revoke is the n-th such entry. */
  function sameOrder(event: Event, entry: Revocation): boolean {
    const revokes = entries.filter((e) => e.releases === null && !e.key.startsWith('signing-key:'));
    return events.indexOf(event) === revokes.indexOf(entry);
  }
  return { tokens, events, entries, targets, keysRevoked };
}

export function targetOf(
  { what, pick }: Command & { do: 'revoke' },
  tokens: readonly Token[],
): { target: RevocationTarget; matches: (token: Token) => boolean } {
  const token = tokens[pick % Math.max(1, tokens.length)];
  const agent = AGENTS[pick % AGENTS.length] ?? '';
  const action = ACTIONS[pick % ACTIONS.length] ?? '';
  switch (what) {
    case 'token':
      return { target: { kind: 'token', id: token?.jti ?? 'none' }, matches: (t) => t === token };
    case 'session':
      return { target: { kind: 'session', id: token?.sessionId ?? 'none' }, matches: (t) => t === token };
    case 'agent':
      return { target: { kind: 'agent', id: agent }, matches: (t) => t.agent === agent };
    case 'subject':
      return { target: { kind: 'subject', id: `id-of-${agent}` }, matches: (t) => t.agent === agent };
    case 'zone':
      return { target: { kind: 'zone', id: ZONES[agent] ?? '' }, matches: (t) => t.agent === agent };
    case 'action':
      return { target: { kind: 'action', id: action }, matches: (t) => t.actions.includes(action) };
    case 'resource':
      return { target: { kind: 'resource', id: RESOURCE }, matches: () => true };
    case 'all':
      return { target: { kind: 'all' }, matches: () => true };
  }
}

export function diesByOrder(
  token: Token,
  events: readonly Event[],
  keysRevoked: ReadonlySet<string>,
): boolean {
  if (keysRevoked.has(token.kid)) return true;
  return events.some(
    (event) => event.matches(token) && (event.at > token.at || (event.standing && !event.released)),
  );
}

export function revocable(token: Token & { epoch: number }) {
  return {
    epoch: token.epoch,
    keys: new Set(
      tokenKeys({
        jti: token.jti,
        sessionId: token.sessionId,
        clientId: token.agent,
        subject: `id-of-${token.agent}`,
        zone: ZONES[token.agent] ?? '',
        resource: RESOURCE,
        actions: token.actions,
      }),
    ),
    signingKey: ledgerKey({ kind: 'signing-key', id: token.kid }),
    exemptFromWide: false,
  };
}
