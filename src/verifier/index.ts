/**
 * `mayfly/verifier`: what a resource server embeds.
 *
 *   const verifier = createVerifier({ issuer, resource, key });
 *   app.get('/customers', verifier.requireAction('db:read:customers'), handler);
 */

export { argumentsOfQuery } from '../json/arguments-of-query.ts';
export type { ActionGuard, Middleware } from './action-guard.ts';
export type { ResourceKey } from './assertion.ts';
export { digestOfArguments } from './call-arguments.ts';
export type { Demand, Granted } from './decision.ts';
export type { MetadataHandler, MetadataOptions } from './metadata-handler.ts';
export { createProofMemory, type ProofMemory } from './proof-memory.ts';
export type { RefusalCode, VerifierRefusalReason } from './refusal.ts';
export { type Refused, refusedResponse, sendRefused } from './refused.ts';
export { type ResourceMetadata, resourceMetadata, resourceMetadataUrl } from './resource-metadata.ts';
export {
  type NodeRequest,
  type ResourceRequest,
  requestOfFetch,
  requestOfNode,
} from './resource-request.ts';
export { createRedisProofs, type SharedProofs } from './shared-proofs.ts';
export type { VerifierStatus } from './status.ts';
export type { TokenClaims } from './token.ts';
export { createVerifier, type Verification, type Verifier } from './verifier.ts';
export type { VerifierLog, VerifierOptions } from './verifier-options.ts';
