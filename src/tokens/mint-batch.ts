/**
 * Runs one batch of mints against the store: opens the sessions that this broker has not seen, mints, and deals
 * with what can go wrong with many requests in one statement.
 */
import { createRecent, type Recent } from '../bounds/recent.ts';
import { isCallersFault, isRetryable, sqlState } from '../database/database-error.ts';
import { Refusal } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { signAccessToken, type TokenSigner } from './access-token.ts';
import type { Grant } from './decide-grant.ts';
import type { MintOutcome, MintRow, MintStore, SessionRow } from './mint-store.ts';

export type MintOrder = { row: MintRow; grant: Grant };

export type MintedToken = {
  accessToken: string;
  jti: string;
  sessionId: string;
  expiresInSeconds: number;
  grant: Grant;
};

type Attempt = Awaited<ReturnType<MintStore['mint']>>;

const MAX_ATTEMPTS = 3;
const MAX_KNOWN_SESSIONS = 100_000;

export function createMintBatch(options: {
  store: MintStore;
  issuer: string;
  signer: () => TokenSigner;
  refreshSigner: () => Promise<void>;
  onMinted: (tokens: number, seconds: number) => void;
  clock: Clock;
}): (orders: readonly MintOrder[]) => Promise<PromiseSettledResult<MintedToken>[]> {
  const { store, issuer, signer, refreshSigner, onMinted, clock } = options;
  const known: Recent<true> = createRecent(MAX_KNOWN_SESSIONS);

  async function openUnknownSessions(rows: readonly MintRow[]): Promise<void> {
    const unknown = rows.filter((row) => known.get(sessionName(row)) === undefined);
    if (unknown.length > 0) await store.openSessions(unknown.map((row) => sessionRow(row, clock)));
  }

  /** A session that this broker believed to exist is gone, e.g. after a restore: open it and try once more. */
  async function mintOpened(rows: readonly MintRow[], kid: string): Promise<Attempt> {
    await openUnknownSessions(rows);
    const outcomes = await store.mint(rows, kid);
    const missing = new Set(outcomes.filter((o) => o.reason === 'session_missing').map((o) => o.token_id));
    if (missing.size === 0) return outcomes;
    const again = rows.filter((row) => missing.has(row.token_id));
    for (const row of again) known.delete(sessionName(row));
    await openUnknownSessions(again);
    return [...outcomes.filter((o) => !missing.has(o.token_id)), ...(await store.mint(again, kid))];
  }

  async function mintPatiently(rows: readonly MintRow[], kid: string): Promise<Attempt> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await mintOpened(rows, kid);
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  function finish(
    { row, grant }: MintOrder,
    outcome: Attempt[number] | undefined,
    by: TokenSigner,
  ): MintedToken {
    if (outcome === undefined) throw new Error('the mint statement left a request without an outcome');
    if (outcome.reason !== null) {
      throw new Refusal(outcome.reason === 'session_missing' ? 'database_unavailable' : outcome.reason, {
        ...HINTS[outcome.reason],
      });
    }
    known.set(sessionName(row), true);
    return {
      accessToken: signAccessToken(claimsOf(row, grant, outcome, issuer), by),
      jti: row.token_id,
      sessionId: outcome.session_id,
      expiresInSeconds: outcome.exp - outcome.iat,
      grant,
    };
  }

  /** When the key was retired or revoked since this broker looked, there is another one. */
  async function mintWithKey(rows: readonly MintRow[]): Promise<{ outcomes: Attempt; by: TokenSigner }> {
    const by = signer();
    const outcomes = await mintPatiently(rows, by.kid);
    if (!outcomes.some(({ reason }) => reason === 'signing_key_unavailable')) return { outcomes, by };
    await refreshSigner();
    const next = signer();
    return { outcomes: await mintPatiently(rows, next.kid), by: next };
  }

  async function runTogether(orders: readonly MintOrder[]): Promise<PromiseSettledResult<MintedToken>[]> {
    const startedAt = clock.monotonicMilliseconds();
    const { outcomes, by } = await mintWithKey(orders.map(({ row }) => row));
    onMinted(
      outcomes.filter(({ reason }) => reason === null).length,
      (clock.monotonicMilliseconds() - startedAt) / 1000,
    );
    const outcomeOf = new Map(outcomes.map((outcome) => [outcome.token_id, outcome]));
    return orders.map((order) => settled(() => finish(order, outcomeOf.get(order.row.token_id), by)));
  }

  return async (orders) => {
    try {
      return await runTogether(orders);
    } catch (error) {
      if (!isAboutOneRow(error)) throw error;
      if (orders.length === 1) throw asRefusal(error);
    }
    const outcomes: PromiseSettledResult<MintedToken>[] = [];
    for (const order of orders) outcomes.push(await runAlone(order));
    return outcomes;
  };

  async function runAlone(order: MintOrder): Promise<PromiseSettledResult<MintedToken>> {
    try {
      const [outcome] = await runTogether([order]);
      return outcome ?? { status: 'rejected', reason: new Error('a batch of one had no outcome') };
    } catch (error) {
      return { status: 'rejected', reason: isAboutOneRow(error) ? asRefusal(error) : error };
    }
  }
}

function settled<Value>(make: () => Value): PromiseSettledResult<Value> {
  try {
    return { status: 'fulfilled', value: make() };
  } catch (reason) {
    return { status: 'rejected', reason };
  }
}

/** One row that the database cannot store (class 22, 54, 23) must not fail its neighbours. */
function isAboutOneRow(error: unknown): boolean {
  return isCallersFault(error) || isUnstorable(error);
}

/** Class 23, of which only 23514 is possible here: a row whose hour has no partition. */
function isUnstorable(error: unknown): boolean {
  return sqlState(error)?.startsWith('23') ?? false;
}

function asRefusal(error: unknown): Refusal {
  return new Refusal(isUnstorable(error) ? 'database_unavailable' : 'parameter_invalid', { cause: error });
}

function claimsOf(row: MintRow, grant: Grant, outcome: MintOutcome & { reason: null }, issuer: string) {
  return {
    iss: issuer,
    sub: row.agent_id,
    client_id: row.client_id,
    aud: row.resource,
    iat: outcome.iat,
    exp: outcome.exp,
    jti: row.token_id,
    scope: row.scope,
    cnf: { jkt: row.jkt },
    sid: outcome.session_id,
    zone: outcome.zone,
    epoch: outcome.epoch,
    ...(grant.call === undefined ? {} : { authorization_details: [grant.call] }),
  };
}

function sessionName({ agent_id, jkt }: MintRow): string {
  return `${agent_id} ${jkt}`;
}

function sessionRow(row: MintRow, clock: Clock): SessionRow {
  const { agent_id, client_id, zone, jkt, session_seconds, catalogue_version } = row;
  const session_id = newIdentifier('ses', clock);
  return { session_id, agent_id, client_id, zone, jkt, session_seconds, catalogue_version };
}

const HINTS: Partial<Record<string, { hint: string }>> = {
  catalogue_differs: {
    hint: 'The scopes/ of this broker are not the applied version; its operators have been told.',
  },
  session_expired: { hint: 'The session of this key has reached its end: open another one with a new key.' },
  session_revoked: { hint: 'The session of this key was ended: open another one with a new key.' },
  standing_revocation: {
    hint: 'Minting for this agent, zone, action or resource is stopped until it is released.',
  },
  proof_replayed: { hint: 'Each request needs a DPoP proof of its own, with a jti that was never used.' },
};
