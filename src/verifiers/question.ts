/**
 * A verifier's question (L14): a JWT of its own kind, signed with a key that the catalogue declares for its resource.
 * It needs no `jti`: asked again it is answered again, and what it asks for cannot be more than one lease long.
 */

import type { ClientDirectory, ResourceClient } from '../agents/client.ts';
import { MAX_ASSERTION_LENGTH, readAssertion, senderOf } from '../agents/client-assertion.ts';
import { refuse } from '../errors/refusal.ts';
import type { HeaderCache, UnverifiedJwt } from '../jws/compact-jws.ts';
import { QUESTION_TYPE, type Question, questionMessage } from '../revocations/ledger-message.ts';

export type ReceivedQuestion = { question: Question; resource: ResourceClient['resource'] };

export const MAX_QUESTION_LIFETIME_SECONDS = 60;
/** A column of four bytes; somebody moves the head once in a while. */
const MAX_GENERATION = 2_147_483_647;
/** FAPI 2.0 Security Profile §5.3.2.1, as for assertions. */
const MAX_AHEAD_SECONDS = 10;

/** @throws {Refusal} `invalid_client` */
export function parseQuestion(text: unknown, headers: HeaderCache): UnverifiedJwt {
  if (typeof text !== 'string' || text.length > MAX_ASSERTION_LENGTH) {
    refuse('request_malformed', { hint: 'The one member is question, a JWT.' });
  }
  return readAssertion(text, headers);
}

/**
 * @param now NumericDate
 * @throws {Refusal} `invalid_client`; `invalid_request` for a signed question of another shape;
 *   `unauthorized_client` for a client that is no resource server
 */
export function checkQuestion(
  jwt: UnverifiedJwt,
  { clients, issuer, now }: { clients: ClientDirectory; issuer: string; now: number },
): ReceivedQuestion {
  if (jwt.header.typ !== QUESTION_TYPE) refuse('assertion_type');
  const { client } = senderOf(jwt, clients);
  if (client.kind !== 'resource') {
    refuse('client_is_no_resource', { hint: 'Only a declared resource server can ask this.' });
  }
  const parsed = questionMessage.safeParse(jwt.claims);
  if (!parsed.success || parsed.data.generation > MAX_GENERATION) {
    refuse('request_malformed', { hint: 'The claims are not those of a question.' });
  }
  const question = parsed.data;
  if (question.aud !== issuer) refuse('assertion_audience');
  if (!isCurrent(question, now)) refuse('assertion_lifetime');
  return { question, resource: client.resource };
}

function isCurrent({ iat, exp }: Question, now: number): boolean {
  return iat <= now + MAX_AHEAD_SECONDS && exp > now && exp - iat <= MAX_QUESTION_LIFETIME_SECONDS;
}
