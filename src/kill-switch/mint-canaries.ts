/**
 * Canaries: real tokens of a real session, minted by the statement that mints every token, for one action of each
 * resource. Their key is a thumbprint that was drawn by lot, so that nobody can make a proof for them.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import { hourOf } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import { encodeBase64url } from '../jws/base64url.ts';
import { OPERATOR_ZONE } from '../operators/management-actions.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import { claimsOf } from '../tokens/mint-batch.ts';
import type { MintRow } from '../tokens/mint-row.ts';
import type { MintStore } from '../tokens/mint-store.ts';
import type { Canary } from './drill.ts';

export type Minted = { sessionId: string | null; canaries: Canary[]; held: string[] };

/** As the migration declares it; no catalogue can. */
export const CANARY = 'mayfly:canary';
const LIFETIME_SECONDS = 90;

export function createCanaryMinter(options: {
  issuer: string;
  catalogue: ActiveCatalogue;
  store: MintStore;
  signer: () => { kid: string };
  clock: Clock;
}): (drillId: string) => Promise<Minted> {
  const { issuer, catalogue, store, signer, clock } = options;

  function rowFor(resource: string, action: string, shared: { jkt: string; drillId: string }): MintRow {
    const applied = catalogue.applied() ?? refuse('catalogue_differs');
    const hour = hourOf(clock.milliseconds() / 1_000);
    return {
      tokenId: newIdentifier('tok', clock),
      tokenHour: hour,
      catalogueVersion: applied.version,
      agentId: applied.agentIds.get(CANARY) ?? refuse('catalogue_differs'),
      clientId: CANARY,
      zone: OPERATOR_ZONE,
      exemptFromWide: false,
      jkt: shared.jkt,
      sessionSeconds: LIFETIME_SECONDS,
      lifetimeSeconds: LIFETIME_SECONDS,
      resource,
      scope: action,
      call: undefined,
      callDigest: undefined,
      proofHour: hour,
      proofKey: randomUUID(),
      assertionHour: hour,
      assertionKey: randomUUID(),
      requestId: shared.drillId,
      source: 'drill',
      clientKid: undefined,
    };
  }

  return async (drillId) => {
    const { kid } = signer();
    const shared = { jkt: encodeBase64url(randomBytes(32)), drillId };
    const rows = [...catalogue.catalogue.resources.values()].flatMap(({ audience, actions: [action] }) =>
      action === undefined ? [] : [rowFor(audience, action, shared)],
    );
    const outcomes = await store.mint(rows, { kid });
    const minted: Minted = { sessionId: null, canaries: [], held: [] };
    for (const row of rows) {
      const outcome = outcomes.find((each) => each.token_id === row.tokenId);
      if (outcome?.reason === 'catalogue_differs') refuse('catalogue_differs');
      if (outcome?.reason === 'standing_revocation') minted.held.push(row.resource);
      else if (outcome === undefined || outcome.reason !== null)
        throw new Error(`no canary: ${outcome?.reason}`);
      else {
        const claims = claimsOf(row, { call: undefined }, outcome, issuer);
        minted.sessionId = outcome.session_id;
        minted.canaries.push({ id: newIdentifier('cnr', clock), resource: row.resource, kid, claims });
      }
    }
    return minted;
  };
}
