/**
 * Minting: an authenticated agent, a good proof and a grant become one row and one signed token. The row is
 * committed before the token exists; if the database cannot record it, there is none.
 */

import type { AgentClient } from '../agents/client.ts';
import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import { hourOf, type SpentKey } from '../dpop/replay-key.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { TokenSigner } from './access-token.ts';
import type { Grant } from './decide-grant.ts';
import { createLanes } from './lanes.ts';
import { createMintBatch, type MintedToken, type MintOrder } from './mint-batch.ts';
import type { MintStore } from './mint-store.ts';

export type MintRequest = {
  client: AgentClient;
  grant: Grant;
  /** Thumbprint of the session's key. */
  jkt: string;
  proof: SpentKey;
  assertion: SpentKey;
  requestId: string;
  /** For the record: names and numbers only. */
  auditDetails: Readonly<Record<string, unknown>>;
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
  clock: Clock;
}): TokenMinter {
  const { catalogue, clock } = options;
  const runBatch = createMintBatch(options);
  const lanes = createLanes<MintOrder, MintedToken>({
    lanes: LANES,
    maxBatch: MAX_BATCH,
    maxWaiting: MAX_WAITING,
    async run(orders) {
      const outcomes = await runBatch(orders);
      if (outcomes.some(wasDecidedByAnotherCatalogue)) catalogue.refresh().catch(() => {}); // the next look is due anyway
      return outcomes;
    },
  });

  return {
    idle: () => lanes.idle(),
    mint(request) {
      const { client, grant, jkt, proof, assertion, requestId, auditDetails } = request;
      const applied = catalogue.applied() ?? refuse('catalogue_differs');
      const agentId = applied.agentIds.get(client.id) ?? refuse('catalogue_differs');
      return lanes.submit({
        grant,
        row: {
          token_id: newIdentifier('tok', clock),
          new_session_id: newIdentifier('ses', clock),
          token_hour: hourOf(clock.milliseconds() / 1000),
          catalogue_version: applied.version,
          agent_id: agentId,
          client_id: client.id,
          zone: client.agent.zone,
          jkt,
          session_seconds: client.agent.sessionSeconds,
          lifetime_seconds: grant.lifetimeSeconds,
          resource: grant.resource,
          scope: grant.actions.join(' '),
          call: grant.call ?? null,
          proof_hour: proof.hour,
          proof_key: proof.key,
          assertion_hour: assertion.hour,
          assertion_key: assertion.key,
          request_id: requestId,
          audit_id: newIdentifier('aud', clock),
          audit_details: auditDetails,
        },
      });
    },
  };
}

/** Somebody applied a version after this broker looked. */
function wasDecidedByAnotherCatalogue(outcome: PromiseSettledResult<MintedToken>): boolean {
  return (
    outcome.status === 'rejected' &&
    outcome.reason instanceof Refusal &&
    outcome.reason.reason === 'catalogue_differs'
  );
}
