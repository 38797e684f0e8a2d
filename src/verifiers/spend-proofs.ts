/** Writes down which proofs the instances of a resource server have seen: for each of them exactly one is first. */
import type { AuthenticatedClient } from '../agents/authenticate-client.ts';
import { createLanes } from '../bounds/lanes.ts';
import { hourOf, replayKey } from '../dpop/replay-key.ts';
import { refuse } from '../errors/refusal.ts';
import { createBuckets, type Rate } from '../http/token-bucket.ts';
import type { Clock } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { ProofStore, ProofsToSpend, SpentProofsOutcome } from './proof-store.ts';

export type SeenProof = {
  /** 32 hexadecimal digits, of the proof's key and `jti`. */
  name: string;
  /** NumericDate out of signed bytes. */
  filedAt: number;
};

export type ProofSpender = {
  /**
   * @param seen of the resource that asks; what another one has seen is another proof
   * @returns for each whether this question was the first to name it
   * @throws {Refusal} `invalid_client` for a used assertion, `rate_limited`, 503
   */
  spend(
    seen: readonly SeenProof[],
    by: Pick<AuthenticatedClient, 'assertion'> & { resource: string; requestId: string; source: string },
  ): Promise<boolean[]>;
};

/** For one resource at one broker: each proof is a row for some hours. */
const PROOFS: Rate = { perSecond: 5_000, burst: 20_000 };
const MAX_RESOURCES = 10_000;

const MAX_BATCH = 64;
const MAX_WAITING = 2_000;

export function createProofSpender({
  store,
  clock,
  rate = PROOFS,
}: {
  store: ProofStore;
  clock: Clock;
  rate?: Rate;
}): ProofSpender {
  const buckets = createBuckets({ rate, maxEntries: MAX_RESOURCES, clock });
  const lanes = createLanes<ProofsToSpend, SpentProofsOutcome>({
    lanes: 2,
    maxBatch: MAX_BATCH,
    maxWaiting: MAX_WAITING,
    run: async (questions) => (await store.spend(questions)).map((value) => ({ status: 'fulfilled', value })),
  });

  function admit(resource: string, proofs: number): void {
    for (let left = proofs; left > 0; left -= 1) {
      const wait = buckets.take(resource);
      if (wait === 0) continue;
      refuse('client_rate', {
        hint: 'Too many proofs of this resource.',
        headers: { 'Retry-After': String(Math.max(1, Math.ceil(wait / 1_000))) },
      });
    }
  }

  return {
    async spend(seen, { assertion, resource, requestId, source }) {
      admit(resource, seen.length);
      const { authentic, fresh } = await lanes.submit({
        lineId: newIdentifier('aud', clock),
        assertion,
        proofs: seen.map(({ name, filedAt }) => ({
          hour: hourOf(filedAt),
          key: replayKey('proof at a resource', resource, name),
        })),
        actor: resource,
        requestId,
        source,
      });
      if (!authentic) refuse('assertion_replayed');
      return fresh;
    },
  };
}
