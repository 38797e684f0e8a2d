/** What the files beside this one share: one broker, who asks it, and who holds its answers against the document. */
import { createTestWorld } from '../../test-broker.ts';
import { createManagement } from '../managed.ts';
import { createStage } from '../stage.ts';
import { createWitness } from '../witness.ts';

export const MINT = 'POST /oauth/token';
export const INTROSPECT = 'POST /oauth/introspect';
export const REVOKE = 'POST /oauth/revoke';
export const CONSUME = 'POST /v1/tokens/{jti}/consume';
export const SPEND = 'POST /v1/proofs/spend';
export const OWN_END = 'POST /v1/sessions/current/revoke';
export const OWN_AGENT = 'POST /v1/agents/current';
export const LEDGER = 'GET /v1/revocations';
export const LEASE = 'POST /v1/verifiers/current/lease';

export const TOO_LONG = 'x'.repeat(70_000);
export const NO_TOKEN = 'tok_01kdvdnad14k88pftagytay02x';
export const BASIC = { Authorization: 'Basic eDp5' };
export const WHY = { reason: 'INC-1234: a test' };

export const { hold, seen, codes } = createWitness();
export const world = await createTestWorld();
export const broker = await world.startBroker();
export const stage = createStage(world, broker);
export const management = createManagement(world, broker);
