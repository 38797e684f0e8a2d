/**
 * Shared proofs at the brokers, for whoever runs no other store: the answer of the statement that writes a proof down
 * says whether it was the first. What comes while a question is under way goes with the next one. A broker that
 * answers in any other way is one that was not asked: 503, never a yes.
 *
 * A proof whose answer was lost on its way counts as used, also when the next broker is asked: the client makes a new one.
 */
import { randomBytes } from 'node:crypto';
import { createLanes } from '../bounds/lanes.ts';
import { ASSERTION_TYPE } from './assertion.ts';
import { UnexpectedStatus } from './bounded-fetch.ts';
import type { AskBrokers } from './broker-urls.ts';
import type { SharedProofs } from './shared-proofs.ts';

type SeenProof = Pick<Parameters<SharedProofs['spend']>[0], 'name' | 'filedAt'>;

const NONCE_BYTES = 16;

/** As many as a broker takes at once. */
const MAX_BATCH = 100;
const MAX_UNDER_WAY = 4;
const MAX_WAITING = 5_000;

export function createMayflyProofs(options: {
  issuer: string;
  signAssertion: () => string;
  ask: AskBrokers;
}): SharedProofs {
  const { issuer, signAssertion, ask } = options;

  async function spendAll(seen: readonly SeenProof[]): Promise<PromiseSettledResult<boolean>[]> {
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const proofs = seen.map(({ name, filedAt }) => ({ name, filed_at: filedAt }));
    const authentication = () => ({
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: signAssertion(),
    });
    const { status, json } = await ask(() => ({
      url: `${issuer}/v1/proofs/spend`,
      body: { contentType: 'application/json', text: JSON.stringify({ ...authentication(), nonce, proofs }) },
      accepts: ['application/json', 'application/problem+json'],
    }));
    if (status !== 200) throw new UnexpectedStatus(status);
    const { fresh } = json;
    if (json.nonce !== nonce || !isAnswerFor(fresh, seen.length)) {
      throw new Error('the broker answered another question');
    }
    return fresh.map((value) => ({ status: 'fulfilled', value }));
  }

  const lanes = createLanes<SeenProof, boolean>({
    lanes: MAX_UNDER_WAY,
    maxBatch: MAX_BATCH,
    maxWaiting: MAX_WAITING,
    run: spendAll,
  });
  return { spend: ({ name, filedAt }) => lanes.submit({ name, filedAt }) };
}

function isAnswerFor(fresh: unknown, count: number): fresh is boolean[] {
  return Array.isArray(fresh) && fresh.length === count && fresh.every((value) => typeof value === 'boolean');
}
