/** The HTTP edge of shared proofs: names of proofs in, for each whether it is new. */
import { z } from 'zod';
import type { ClientAuthenticator } from '../agents/authenticate-client.ts';
import { credentialsOfJson } from '../agents/client-credentials.ts';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { ProofSpender } from './spend-proofs.ts';

export type ProofRoutes = { spend: (call: Call) => Promise<Answer> };

/** As many as a verifier gathers while a question is under way. */
export const MAX_PROOFS = 100;

/**
 * A verifier takes a proof for a minute, with a clock that is a minute from ours at most. The time names the hour in
 * which the proof lies for good; far from now there may be no such hour any more.
 */
const MAX_AGE_SECONDS = 300;
const MAX_AHEAD_SECONDS = 150;

const spendingSchema = z.strictObject({
  client_assertion: z.string(),
  client_assertion_type: z.string(),
  /** Repeated in the answer, which so can stand for this question only. */
  nonce: z.string().regex(/^[\x21-\x7e]{1,128}$/),
  proofs: z
    .array(z.strictObject({ name: z.string().regex(/^[0-9a-f]{32}$/), filed_at: z.int().nonnegative() }))
    .min(1)
    .max(MAX_PROOFS),
});

export function createProofRoutes(options: {
  authenticator: ClientAuthenticator;
  spender: ProofSpender;
  clock: Clock;
}): ProofRoutes {
  const { authenticator, spender, clock } = options;
  return {
    async spend(call) {
      const { client, assertion } = authenticator.authenticate(credentialsOfJson(call), call);
      if (client.kind !== 'resource') {
        refuse('client_is_no_resource', { hint: 'Only a declared resource server can ask this.' });
      }
      const { nonce, proofs } = parseSpending(call.json, numericDate(clock));
      const seen = proofs.map(({ name, filed_at: filedAt }) => ({ name, filedAt }));
      const { audience: resource } = client.resource;
      const { requestId, source } = call;
      const fresh = await spender.spend(seen, { assertion, resource, requestId, source: source.address });
      return { body: { nonce, fresh } };
    },
  };
}

function parseSpending(json: unknown, now: number): z.infer<typeof spendingSchema> {
  const result = spendingSchema.safeParse(json);
  if (!result.success) {
    refuse('request_malformed', {
      hint: `The members are client_assertion, client_assertion_type, nonce, and proofs: 1 to ${MAX_PROOFS} of name (32 hexadecimal digits) and filed_at.`,
    });
  }
  const isNear = ({ filed_at: at }: { filed_at: number }) =>
    at >= now - MAX_AGE_SECONDS && at <= now + MAX_AHEAD_SECONDS;
  if (!result.data.proofs.every(isNear)) {
    refuse('parameter_invalid', {
      hint: 'filed_at is when the proof was made, in seconds, and not far from now.',
    });
  }
  return result.data;
}
