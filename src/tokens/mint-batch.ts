/** Runs one batch of mints against the store, and deals with what can go wrong with many requests in one statement. */
import { isCallersFault, isRetryable, sqlState } from '../database/database-error.ts';
import { Refusal } from '../errors/refusal.ts';
import type { Known } from '../http/known.ts';
import type { Clock } from '../time/clock.ts';
import { signAccessToken, type TokenSigner } from './access-token.ts';
import type { Grant } from './decide-grant.ts';
import type { MintRow } from './mint-row.ts';
import type { MintOutcome, MintStore } from './mint-store.ts';

export type MintOrder = { row: MintRow; grant: Grant; known: Known };

export type MintedToken = {
  accessToken: string;
  jti: string;
  sessionId: string;
  expiresInSeconds: number;
  grant: Grant;
};

type Attempt = Awaited<ReturnType<MintStore['mint']>>;

const MAX_ATTEMPTS = 3;

export function createMintBatch(options: {
  store: MintStore;
  issuer: string;
  signer: () => TokenSigner;
  refreshSigner: () => Promise<void>;
  onMinted: (tokens: number, seconds: number) => void;
  clock: Clock;
}): (orders: readonly MintOrder[]) => Promise<PromiseSettledResult<MintedToken>[]> {
  const { store, issuer, signer, refreshSigner, onMinted, clock } = options;

  /** A deadlock or a serialization failure left nothing behind: the same statement may well succeed. */
  async function mintPatiently(
    rows: readonly MintRow[],
    how: { kid: string; spentBefore?: boolean },
  ): Promise<Attempt> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await store.mint(rows, how);
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  /** Two brokers opened the session of the same new key at once: whoever lost looks again. */
  async function mintContended(rows: readonly MintRow[], kid: string): Promise<Attempt> {
    const outcomes = await mintPatiently(rows, { kid });
    const contended = new Set(
      outcomes.filter((o) => o.reason === 'session_contended').map((o) => o.token_id),
    );
    if (contended.size === 0) return outcomes;
    const again = rows.filter((row) => contended.has(row.tokenId));
    const resolved = await mintPatiently(again, { kid, spentBefore: true });
    return [...outcomes.filter((o) => !contended.has(o.token_id)), ...resolved];
  }

  function finish(
    { row, grant, known }: MintOrder,
    outcome: Attempt[number] | undefined,
    by: TokenSigner,
  ): MintedToken {
    if (outcome === undefined) throw new Error('the mint statement left a request without an outcome');
    if (outcome.reason !== null) {
      known.epoch = outcome.epoch;
      if (outcome.session_id !== null) known.sessionId = outcome.session_id;
      const reason = outcome.reason === 'session_contended' ? 'database_unavailable' : outcome.reason;
      throw new Refusal(reason, { ...HINTS[reason] });
    }
    return {
      accessToken: signAccessToken(claimsOf(row, grant, outcome, issuer), by),
      jti: row.tokenId,
      sessionId: outcome.session_id,
      expiresInSeconds: outcome.exp - outcome.iat,
      grant,
    };
  }

  /** When the key was retired or revoked since this broker looked, there is another one. */
  async function mintWithKey(rows: readonly MintRow[]): Promise<{ outcomes: Attempt; by: TokenSigner }> {
    const by = signer();
    const outcomes = await mintContended(rows, by.kid);
    if (!outcomes.some(({ reason }) => reason === 'signing_key_unavailable')) return { outcomes, by };
    await refreshSigner();
    const next = signer();
    return { outcomes: await mintContended(rows, next.kid), by: next };
  }

  async function runTogether(orders: readonly MintOrder[]): Promise<PromiseSettledResult<MintedToken>[]> {
    const startedAt = clock.monotonicMilliseconds();
    const { outcomes, by } = await mintWithKey(orders.map(({ row }) => row));
    onMinted(
      outcomes.filter(({ reason }) => reason === null).length,
      (clock.monotonicMilliseconds() - startedAt) / 1000,
    );
    const outcomeOf = new Map(outcomes.map((outcome) => [outcome.token_id, outcome]));
    return orders.map((order) => settled(() => finish(order, outcomeOf.get(order.row.tokenId), by)));
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

/** What the token of a row says, once the statement has minted it. */
export function claimsOf(
  row: MintRow,
  grant: Pick<Grant, 'call'>,
  outcome: MintOutcome & { reason: null },
  issuer: string,
) {
  return {
    iss: issuer,
    sub: row.agentId,
    client_id: row.clientId,
    aud: row.resource,
    iat: outcome.iat,
    exp: outcome.exp,
    jti: row.tokenId,
    scope: row.scope,
    cnf: { jkt: row.jkt },
    sid: outcome.session_id,
    zone: outcome.zone,
    epoch: outcome.epoch,
    ...(grant.call === undefined ? {} : { authorization_details: [grant.call] }),
  };
}

const HINTS: Partial<Record<string, { hint: string }>> = {
  catalogue_differs: {
    hint: 'This broker waits for a restart with the applied scopes/; operators whom both declare alike go on.',
  },
  session_expired: { hint: 'The session of this key has reached its end: open another one with a new key.' },
  session_revoked: { hint: 'The session of this key was ended: open another one with a new key.' },
  standing_revocation: {
    hint: 'Minting for this agent, zone, action or resource is stopped until it is released.',
  },
  proof_replayed: { hint: 'Each request needs a DPoP proof of its own, with a jti that was never used.' },
};
