import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { ledgerKey, type Revocation, type RevocationTarget } from '../../src/revocations/revocation.ts';
import { isDead, tokenKeys } from '../../src/revocations/rule.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { createTokenStore } from '../../src/tokens/token-store.ts';
import { mintRow, prepareMinting } from '../tokens/mint-fixture.ts';

/*
 * Histories are generated as commands; a naive oracle replays the order of events and looks at the true fields of
 * tokens. The rule sees only numbers and keys.
 */
const AGENTS = ['reporter', 'mailer'];
const ZONES: Record<string, string> = { reporter: 'analytics', mailer: 'office' };
const ACTIONS = ['db:read:customers', 'storage:read:files'];
const RESOURCE = 'https://customers.example.com';

type Command =
  | { do: 'mint'; agent: string; actions: string[] }
  | {
      do: 'revoke';
      what: 'token' | 'session' | 'agent' | 'zone' | 'action' | 'resource' | 'subject' | 'all';
      pick: number;
      standing: boolean;
    }
  | { do: 'release'; pick: number }
  | { do: 'revokeKey'; kid: string };

const command: fc.Arbitrary<Command> = fc.oneof(
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

type Token = { at: number; agent: string; actions: string[]; jti: string; sessionId: string; kid: string };
type Event = { at: number; matches: (token: Token) => boolean; standing: boolean; released: boolean };

/** The ledger of the rule and the events of the oracle, side by side. */
function replay(commands: readonly Command[]) {
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

function targetOf(
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

function diesByOrder(token: Token, events: readonly Event[], keysRevoked: ReadonlySet<string>): boolean {
  if (keysRevoked.has(token.kid)) return true;
  return events.some(
    (event) => event.matches(token) && (event.at > token.at || (event.standing && !event.released)),
  );
}

function revocable(token: Token & { epoch: number }) {
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

test('the rule on numbers says what the order of events says', () => {
  fc.assert(
    fc.property(fc.array(command, { maxLength: 40 }), (commands) => {
      const { tokens, events, entries, keysRevoked } = replay(commands);
      for (const token of tokens) {
        assert.equal(
          isDead(revocable(token), { entries, floor: 0 }),
          diesByOrder(token, events, keysRevoked),
        );
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a token below the floor of a copy is dead, since the copy may have forgotten what killed it', () => {
  const token = {
    ...revocable({ at: 0, epoch: 4, agent: 'mailer', actions: [], jti: 'j', sessionId: 's', kid: 'k' }),
  };
  assert.equal(isDead(token, { entries: [], floor: 5 }), true);
  assert.equal(isDead(token, { entries: [], floor: 4 }), false);
});

test('a wide revocation passes by what is exempt, a narrow one does not', () => {
  const token = {
    ...revocable({ at: 0, epoch: 0, agent: 'mailer', actions: [], jti: 'j', sessionId: 's', kid: 'k' }),
    exemptFromWide: true,
  };
  const entry = (target: RevocationTarget): Revocation => ({
    epoch: 1,
    key: ledgerKey(target),
    standing: true,
    releasedEpoch: null,
    releases: null,
  });
  for (const target of [
    { kind: 'all' },
    { kind: 'zone', id: 'office' },
    { kind: 'resource', id: RESOURCE },
  ] as const) {
    assert.equal(isDead(token, { entries: [entry(target)], floor: 0 }), false, target.kind);
  }
  assert.equal(isDead(token, { entries: [entry({ kind: 'agent', id: 'mailer' })], floor: 0 }), true);
  assert.equal(isDead(token, { entries: [entry({ kind: 'token', id: 'j' })], floor: 0 }), true);
});

let minting: Awaited<ReturnType<typeof prepareMinting>>;
before(async () => {
  minting = await prepareMinting();
});

test('the SQL of introspection says what the pure rule says', async () => {
  const tokens = createTokenStore(minting.kysely, systemClock);
  const appended = async (target: RevocationTarget, standing: boolean, releases: number | null) => {
    const { rows } = await minting.owner.query(
      'select epoch from append_revocation($1, $2, $3, $4, $5, $6, $7, $8, null)',
      [
        newIdentifier('rev', systemClock),
        target.kind,
        target.kind === 'all' ? '' : target.id,
        standing,
        releases,
        'r',
        'a',
        newIdentifier('aud', systemClock),
      ],
    );
    return Number(rows[0].epoch);
  };
  const start = async () =>
    Number((await minting.owner.query('select epoch from revocation_head')).rows[0].epoch);

  await fc.assert(
    fc.asyncProperty(
      fc.array(
        command.filter((c) => c.do !== 'revokeKey'),
        { maxLength: 12 },
      ),
      async (commands) => {
        const base = await start();
        const { entries, targets } = replay(commands);
        const recorded: (Token & { epoch: number; id: string; session: string })[] = [];
        let made = 0;
        const rename = (target: RevocationTarget): RevocationTarget => {
          if (target.kind === 'all') return target;
          const twin = recorded.find((t) => t.jti === target.id || t.sessionId === target.id);
          if (twin === undefined) return target;
          return { kind: target.kind, id: target.kind === 'token' ? twin.id : twin.session };
        };
        for (const [at, next] of commands.entries()) {
          if (next.do === 'mint') {
            const standingNow = entries
              .slice(0, made)
              .some((e) => e.standing && (e.releasedEpoch ?? made + 1) > made);
            if (standingNow) continue; // what a standing entry would refuse is not minted here
            const row = mintRow({
              agentId: `id-of-${next.agent}`,
              clientId: next.agent,
              zone: ZONES[next.agent] ?? '',
              jkt: newIdentifier('key', systemClock),
              scope: next.actions.join(' '),
            });
            const [outcome] = await minting.store.mint([row], { kid: minting.kid });
            assert.ok(outcome?.reason === null);
            recorded.push({
              ...next,
              at,
              epoch: made,
              jti: `tok-${at}`,
              sessionId: `ses-${at}`,
              kid: 'kid-1',
              id: row.tokenId,
              session: outcome.session_id,
            });
          } else {
            const entry = entries[made];
            const target = targets[made];
            if (entry === undefined || target === undefined) continue;
            if (next.do === 'release' && entry.releases === null) continue;
            await appended(
              rename(target),
              entry.standing,
              entry.releases === null ? null : base + entry.releases,
            );
            made += 1;
          }
        }
        for (const token of recorded) {
          const dead = isDead(revocable(token), { entries: entries.slice(0, made), floor: 0 });
          assert.equal((await tokens.find(token.id))?.alive, !dead);
        }
        // Leave nothing standing for the next history.
        const { rows } = await minting.owner.query(
          'select epoch, kind, target from revocations where standing and released_epoch is null',
        );
        for (const { epoch, kind, target } of rows) {
          await appended(kind === 'all' ? { kind } : { kind, id: target }, false, Number(epoch));
        }
      },
    ),
    { numRuns: 150 },
  );
});
