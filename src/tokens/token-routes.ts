/** The HTTP edge of what is done with tokens that exist: parse, authenticate, call one verb, answer. */
import { z } from 'zod';
import type { AuthenticatedClient, ClientAuthenticator } from '../agents/authenticate-client.ts';
import type { ResourceClient } from '../agents/client.ts';
import { credentialsOfForm, credentialsOfJson } from '../agents/client-credentials.ts';
import { refuse } from '../errors/refusal.ts';
import type { Answer, Call } from '../http/route.ts';
import type { TokenConsumer } from './consume-token.ts';
import type { TokenIntrospector } from './introspect-token.ts';
import type { TokenRevoker } from './revoke-token.ts';

export type TokenRoutes = {
  introspect: (call: Call) => Promise<Answer>;
  revoke: (call: Call) => Promise<Answer>;
  consume: (call: Call) => Promise<Answer>;
};

export function createTokenRoutes(options: {
  authenticator: ClientAuthenticator;
  introspector: TokenIntrospector;
  revoker: TokenRevoker;
  consumer: TokenConsumer;
  /** Told when a client tried to revoke a token that was issued to another one. */
  onForeignRevocation: (call: Call) => void;
}): TokenRoutes {
  const { authenticator, introspector, revoker, consumer, onForeignRevocation } = options;

  return {
    async introspect(call) {
      const by = resourceOnly(authenticator.authenticate(credentialsOfForm(call), call));
      const token = tokenOf(call);
      return { body: await introspector.introspect({ token, by, ...originOf(call) }) };
    },

    async revoke(call) {
      const by = authenticator.authenticate(credentialsOfForm(call), call);
      const token = tokenOf(call);
      const { foreign } = await revoker.revokeOwnToken({ token, by, ...originOf(call) });
      if (foreign) onForeignRevocation(call);
      return { status: 200 };
    },

    async consume(call) {
      const by = resourceOnly(authenticator.authenticate(credentialsOfJson(call), call));
      const { nonce } = parseConsumption(call.json);
      const { jti, consumedAt } = await consumer.consume({
        jti: call.params.jti ?? '',
        by,
        ...originOf(call),
      });
      return { body: { jti, consumed_at: consumedAt, ...(nonce === undefined ? {} : { nonce }) } };
    },
  };
}

const consumptionSchema = z.strictObject({
  client_assertion: z.string(),
  client_assertion_type: z.string(),
  /** Repeated in the answer, which so can stand for this question only. */
  nonce: z
    .string()
    .regex(/^[\x21-\x7e]{1,128}$/)
    .optional(),
});

function parseConsumption(json: unknown): { nonce?: string | undefined } {
  const result = consumptionSchema.safeParse(json);
  if (result.success) return result.data;
  return refuse('request_malformed', {
    hint: 'The members are client_assertion, client_assertion_type and, if wanted, nonce (1 to 128 characters).',
  });
}

function resourceOnly(by: AuthenticatedClient): AuthenticatedClient & { client: ResourceClient } {
  const { client } = by;
  if (client.kind === 'resource') return { ...by, client };
  return refuse('client_is_no_resource', { hint: 'Only a declared resource server can ask this.' });
}

/** For the record. */
function originOf({ requestId, source }: Call): { requestId: string; source: string } {
  return { requestId, source: source.address };
}

function tokenOf(call: Call): string {
  return call.form.one('token') ?? refuse('parameter_missing', { hint: 'token is required.' });
}
