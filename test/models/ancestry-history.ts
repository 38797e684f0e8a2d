/** A history told twice: the ledger and the tokens' numbers on one side, the order of events on the other. */
import { ledgerKey, type Revocation, type RevocationTarget } from '../../src/revocations/revocation.ts';
import { isDead, type Revocable, sessionKeys } from '../../src/revocations/rule.ts';
import {
  ancestorsOf,
  type Command,
  factsOf,
  KID,
  type LedgerRule,
  names,
  namesLineage,
  namesToken,
  revocable,
  type Session,
  type Token,
  targetOf,
} from './ancestry.ts';

type Event = { at: number; epoch: number; target: RevocationTarget; standing: boolean; isReleased: boolean };

export type Told = {
  tokens: readonly Token[];
  entries: readonly Revocation[];
  targets: readonly RevocationTarget[];
  /** Every mint of the history, whether it was refused, and whether it had to be. */
  mints: readonly { refused: boolean; dead: boolean }[];
  /** What the order of events says of a token. */
  diesByOrder(token: Token): boolean;
  /** Whether something stands that means it, whenever it was minted. */
  isStoppedByOrder(token: Token): boolean;
  keysRevoked: ReadonlySet<string>;
};

export function tell(commands: readonly Command[], off?: LedgerRule): Told {
  const tokens: Token[] = [];
  const entries: Revocation[] = [];
  const targets: RevocationTarget[] = [];
  const events: Event[] = [];
  const keysRevoked = new Set<string>();
  const mints: { refused: boolean; dead: boolean }[] = [];
  const landing: { at: number; token: Token }[] = [];

  function append(target: RevocationTarget, more: Partial<Revocation> = {}): number {
    const epoch = entries.length + 1;
    const standing = more.standing === true && off !== 'L8: what stands kills whatever the epoch';
    const releases = more.releases ?? null;
    entries.push({ epoch, key: ledgerKey(target), standing, releasedEpoch: null, releases });
    targets.push(target);
    return epoch;
  }

  const deadByRule = (subject: Revocable) => isDead(subject, { entries, floor: 0 });

  /** What the mint asks: the session, the token that opened it, and whether anything standing forbids the new one. */
  function isRefused(token: Token, { isFirst }: { isFirst: boolean }): boolean {
    const { session } = token;
    const lived: Revocable = {
      epoch: session.epoch,
      keys: new Set(sessionKeys(factsOf(session))),
      exemptFromWide: false,
    };
    if (
      deadByRule(revocable(token, off)) ||
      (off !== 'L7: every mint looks at the session' && deadByRule(lived))
    )
      return true;
    const asksParent = isFirst || off !== 'L6: every mint looks at the token that opened the session';
    return session.openedWith !== null && asksParent && deadByRule(revocable(session.openedWith, off));
  }

  function mint(token: Token, { isFirst, after = 0 }: { isFirst: boolean; after?: number }): void {
    const refused = isRefused(token, { isFirst });
    const { session } = token;
    const parentDied = session.openedWith !== null && diesByOrder(session.openedWith);
    mints.push({ refused, dead: parentDied || diesByOrder(token) || sessionDied(session) });
    if (!refused) landing.push({ at: token.at + after, token });
  }

  function land(now: number): void {
    for (const { at, token } of landing.splice(0)) {
      if (at > now) landing.push({ at, token });
      else
        tokens.push(
          off === 'L9: the epoch is no newer than the checks' ? { ...token, epoch: entries.length } : token,
        );
    }
  }

  const kills = ({ at, standing, isReleased }: Event, since: number) =>
    at > since || (standing && !isReleased);

  function sessionDied(session: Session): boolean {
    return events.some((event) => kills(event, session.at) && names(event.target, session));
  }

  function diesByOrder(token: Token): boolean {
    if (keysRevoked.has(KID)) return true;
    return events.some(
      (event) =>
        kills(event, token.at) &&
        (namesToken(event.target, token) ||
          ancestorsOf(token).some((each) => namesLineage(event.target, each))),
    );
  }

  function isStoppedByOrder(token: Token): boolean {
    return events.some(
      ({ target, standing, isReleased }) => standing && !isReleased && namesToken(target, token),
    );
  }

  function take(next: Command, at: number): void {
    const epoch = entries.length;
    if (next.do === 'mint') {
      const session = { id: `ses-${at}`, at, epoch, agent: next.agent, openedWith: null };
      const token = { at, epoch, jti: `tok-${at}`, session, actions: next.actions, isForged: false };
      mint(token, { isFirst: true, after: next.after });
    } else if (next.do === 'mint again' || next.do === 'exchange') {
      const from = tokens[next.pick % Math.max(1, tokens.length)];
      if (from === undefined || from.isForged) return;
      const opened = {
        id: `ses-${at}`,
        at,
        epoch,
        agent: 'agent' in next ? next.agent : '',
        openedWith: from,
      };
      const session = next.do === 'exchange' ? opened : from.session;
      const token = { at, epoch, jti: `tok-${at}`, session, actions: next.actions, isForged: false };
      mint(token, { isFirst: next.do === 'exchange' });
    } else if (next.do === 'forge') {
      const session = { id: `ses-${at}`, at, epoch, agent: next.agent, openedWith: null };
      tokens.push({
        at,
        epoch: next.epoch,
        jti: `tok-${at}`,
        session,
        actions: next.actions,
        isForged: true,
      });
    } else if (next.do === 'revoke') {
      const target = targetOf(next, tokens);
      events.push({
        at,
        target,
        standing: next.standing,
        epoch: append(target, { standing: next.standing }),
        isReleased: false,
      });
    } else if (next.do === 'release') {
      release(next.pick);
    } else {
      keysRevoked.add(next.kid);
      append({ kind: 'signing-key', id: next.kid });
    }
  }

  function release(which: number): void {
    const standing = events.filter((event) => event.standing && !event.isReleased);
    const event = standing[which % Math.max(1, standing.length)];
    const entry = entries[(event?.epoch ?? 0) - 1];
    if (event === undefined || entry === undefined) return;
    event.isReleased = true;
    entry.releasedEpoch =
      off === 'L3: a release is an entry' ? entries.length : append(event.target, { releases: event.epoch });
  }

  commands.forEach((next, at) => {
    land(at);
    take(next, at);
  });
  land(Number.POSITIVE_INFINITY);
  return { tokens, entries, targets, mints, diesByOrder, isStoppedByOrder, keysRevoked };
}
