/**
 * An agent ends its own session: by its declared key, which says who it is, and a proof of the session's key, which
 * says which session. Nothing is minted in it from then on and every token of it is dead. Whoever lost the session's
 * key revokes single tokens (RFC 7009) or asks an operator. Asked again it says how far enforcement points are by then.
 */
import { z } from 'zod';
import type { ClientAuthenticator } from '../agents/authenticate-client.ts';
import { credentialsOfJson } from '../agents/client-credentials.ts';
import type { PossessionReader } from '../dpop/possession.ts';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import { reasonSchema } from '../operators/read-change.ts';
import { type AfterRevocation, tellEntry } from '../revocations/managed-changes.ts';
import type { OwnEnd, OwnEndOutcome } from '../revocations/own-ends.ts';

export const OWN_SESSION_PATH = '/v1/sessions/current/revoke';

export type OwnSessionRoutes = { revokeOwn: (call: Call) => Promise<Answer> };

const bodySchema = z.strictObject({
  client_assertion: z.string(),
  client_assertion_type: z.string(),
  reason: reasonSchema.optional(),
});

export function createOwnSessionRoutes(options: {
  authenticator: ClientAuthenticator;
  ends: { submit(end: OwnEnd): Promise<OwnEndOutcome> };
  afterRevocation: AfterRevocation;
  /** How many entries one client may make. @throws {Refusal} `rate_limited` */
  admit: (clientId: string) => void;
  possessionOf: PossessionReader;
}): OwnSessionRoutes {
  const { authenticator, ends, afterRevocation, admit, possessionOf } = options;

  return {
    async revokeOwn(call) {
      const { client, assertion } = authenticator.authenticate(credentialsOfJson(call), call);
      if (client.kind === 'resource') {
        refuse('client_is_no_agent', { hint: 'A resource server has no session.' });
      }
      const { reason = `ended by the ${client.kind} itself` } = readBody(call.json);
      const { requestId, source } = call;
      const possession = possessionOf(call);
      const end = { client: client.id, ...possession, assertion, reason, requestId, source: source.address };
      admit(client.id);
      const { outcome, answer, replicated } = await ends.submit(end);
      if (answer !== null) return tellEntry(answer, { replicated, afterRevocation });
      if (outcome !== 'not_found')
        refuse(outcome, { hint: 'Make a new proof and a new assertion for each request.' });
      return refuse('session_not_found', { hint: 'This client has no session with the key of the proof.' });
    },
  };
}

function readBody(json: unknown): z.infer<typeof bodySchema> {
  const result = bodySchema.safeParse(json);
  if (result.success) return result.data;
  return refuse('parameter_invalid', {
    hint: 'The members are client_assertion, client_assertion_type and, if wanted, reason (one line).',
  });
}
