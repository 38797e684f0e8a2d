/**
 * Minting: an authenticated agent or operator, a good proof and a grant become one row and one signed token. The row is
 * committed before the token exists; if the database cannot record it, there is none.
 */

import type { AgentClient, OperatorClient } from '../agents/client.ts';
import { createLanes } from '../bounds/lanes.ts';
import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import { hourOf, type SpentKey } from '../dpop/replay-key.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Known } from '../http/known.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { OPERATOR_SESSION_SECONDS, OPERATOR_ZONE } from '../operators/management-actions.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TokenSigner } from './access-token.ts';
import type { Grant } from './decide-grant.ts';
import { createMintBatch, type MintedToken, type MintOrder } from './mint-batch.ts';
import type { MintStore } from './mint-store.ts';

export type MintRequest = {
  client: AgentClient | OperatorClient;
  grant: Grant;
  /** Thumbprint of the session's key. */
  jkt: string;
  proof: SpentKey;
  assertion: SpentKey;
  /** For the record, all three. */
  requestId: string;
  source: string;
  clientKid: string | undefined;
  /** Told what the database decided by, when it refuses. */
  known: Known;
};

export type TokenMinter = {
  /** @throws {Refusal} */
  mint(request: MintRequest): Promise<MintedToken>;
  idle(): Promise<void>;
};

const LANES = 2;
const MAX_BATCH = 64;
const MAX_WAITING = 4_096;

export function createTokenMinter(options: {
  store: MintStore;
  issuer: string;
  catalogue: ActiveCatalogue;
  signer: () => TokenSigner;
  /** Reads the ring again: the database did not let the key sign that this broker would have signed with. */
  refreshSigner: () => Promise<void>;
  onMinted: (tokens: number, seconds: number) => void;
  /** How many statements may be under way at once. */
  lanes?: number;
  clock: Clock;
}): TokenMinter {
  const { catalogue, clock } = options;
  const runBatch = createMintBatch(options);
  const lanes = createLanes<MintOrder, MintedToken>({
    lanes: options.lanes ?? LANES,
    maxBatch: MAX_BATCH,
    maxWaiting: MAX_WAITING,
    async run(orders) {
      const outcomes = await runBatch(orders);
      if (outcomes.some(wasDecidedByAnotherCatalogue)) catalogue.refresh().catch(() => {}); // the next look is due anyway
      return outcomes;
    },
  });

  async function mint(request: MintRequest): Promise<MintedToken> {
    const { client, grant, jkt, proof, assertion, requestId, source, clientKid, known } = request;
    const applied = appliedFor(client, catalogue) ?? refuse('catalogue_differs');
    const agentId = applied.agentIds.get(client.id) ?? refuse('catalogue_differs');
    return lanes.submit({
      grant,
      known,
      row: {
        tokenId: newIdentifier('tok', clock),
        tokenHour: hourOf(clock.milliseconds() / 1000),
        catalogueVersion: applied.version,
        agentId,
        clientId: client.id,
        ...sessionOf(client),
        jkt,
        lifetimeSeconds: grant.lifetimeSeconds,
        resource: grant.resource,
        scope: grant.actions.join(' '),
        call: grant.call,
        callDigest: grant.call === undefined ? undefined : canonicalDigest(grant.call),
        proofHour: proof.hour,
        proofKey: proof.key,
        assertionHour: assertion.hour,
        assertionKey: assertion.key,
        requestId,
        source,
        clientKid,
      },
    });
  }

  return {
    idle: () => lanes.idle(),
    async mint(request) {
      try {
        return await mint(request);
      } catch (error) {
        if (request.client.kind !== 'operator' || !isOfAnotherCatalogue(error)) throw error;
      }
      // nothing was spent: a version applied since this broker looked may well declare the operator as it does
      await catalogue.refresh();
      return mint(request);
    },
  };
}

function appliedFor({ kind, id }: AgentClient | OperatorClient, catalogue: ActiveCatalogue) {
  return kind === 'operator' ? catalogue.appliedFor(id) : catalogue.applied();
}

function sessionOf(client: AgentClient | OperatorClient) {
  if (client.kind === 'operator') {
    return { zone: OPERATOR_ZONE, sessionSeconds: OPERATOR_SESSION_SECONDS, exemptFromWide: true };
  }
  const { zone, sessionSeconds } = client.agent;
  return { zone, sessionSeconds, exemptFromWide: false };
}

/** Somebody applied a version after this broker looked. */
function wasDecidedByAnotherCatalogue(outcome: PromiseSettledResult<MintedToken>): boolean {
  return outcome.status === 'rejected' && isOfAnotherCatalogue(outcome.reason);
}

function isOfAnotherCatalogue(error: unknown): boolean {
  return error instanceof Refusal && error.reason === 'catalogue_differs';
}
