import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ledgerKey, type Revocation, type RevocationTarget } from '../../src/revocations/revocation.ts';
import { isDead } from '../../src/revocations/rule.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { createTokenStore } from '../../src/tokens/token-store.ts';
import { fc } from '../properties.ts';
import { mintRow, prepareMinting } from '../tokens/mint-fixture.ts';
import { command, diesByOrder, RESOURCE, replay, revocable, type Token, ZONES } from './history.ts';

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
  const tokens = createTokenStore(minting.kysely);
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
