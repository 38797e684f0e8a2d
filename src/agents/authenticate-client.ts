/**
 * Client authentication by `private_key_jwt`, the only method there is. What a client sends is bounded and rated
 * before a signature is checked; who fails costs its own address and the client that it claimed to be, but cannot
 * lock that client out.
 */
import { createRecent } from '../bounds/recent.ts';
import { hourOf, replayKey, type SpentKey } from '../dpop/replay-key.ts';
import { Refusal, refuse } from '../errors/refusal.ts';
import type { RequestBounds } from '../http/rate-bound.ts';
import type { Call } from '../http/route.ts';
import type { HeaderCache } from '../jws/compact-jws.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { Client, ClientDirectory } from './client.ts';
import { checkAssertion, claimedClient, readAssertion } from './client-assertion.ts';

export type ClientCredentials = {
  clientId: string | undefined;
  assertion: string | undefined;
  assertionType: string | undefined;
  /** True when a secret came in the body: a second method (RFC 6749 §2.3). */
  secretGiven: boolean;
  /** The `Authorization` header. */
  authorization: string | undefined;
};

export type AuthenticatedClient = { client: Client; kid: string | undefined; assertion: SpentKey };

export type ClientAuthenticator = {
  /**
   * @param call where it came from, and what then is known of it
   * @throws {Refusal} `invalid_client`, `invalid_request` or `rate_limited`
   */
  authenticate(credentials: ClientCredentials, call: Pick<Call, 'source' | 'known'>): AuthenticatedClient;
};

/** A client uses few: one for each of its keys and libraries. */
const MAX_HEADERS = 10_000;

/** RFC 7523 §2.2. */
export const CLIENT_ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const METHOD_HINT =
  'Authenticate with private_key_jwt: client_assertion and client_assertion_type (RFC 7523 section 2.2).';

export function createClientAuthenticator(options: {
  issuer: string;
  clients: () => ClientDirectory;
  bounds: RequestBounds;
  /** NumericDate: what was used before may be forgotten. */
  forgottenUntil: () => number;
  clock: Clock;
}): ClientAuthenticator {
  const { issuer, clients, bounds, forgottenUntil, clock } = options;
  const headers: HeaderCache = createRecent(MAX_HEADERS);

  return {
    authenticate(credentials, { source, known }) {
      const jwt = readAssertion(assertionOf(credentials), headers);
      const directory = clients();
      const claimed = claimedClient(jwt);
      const declared = claimed !== null && directory.has(claimed) ? claimed : null;
      bounds.admitClient(declared, source);
      try {
        const { client, jti, expiresAt, kid } = checkAssertion(jwt, {
          clients: directory,
          issuer,
          now: numericDate(clock),
          forgottenUntil: forgottenUntil(),
        });
        if (credentials.clientId !== undefined && credentials.clientId !== client.id)
          refuse('assertion_subject');
        bounds.succeeded(client.id, source);
        known.actor = client.id;
        if (kid !== undefined) known.clientKid = kid;
        return {
          client,
          kid,
          assertion: { hour: hourOf(expiresAt), key: replayKey('assertion', client.id, jti) },
        };
      } catch (error) {
        if (error instanceof Refusal) bounds.failed(declared, source);
        throw error;
      }
    },
  };
}

/** Exactly one method, and that one complete (RFC 6749 §2.3; RFC 7521 §4.2). */
function assertionOf({
  clientId,
  assertion,
  assertionType,
  authorization,
  secretGiven,
}: ClientCredentials): string {
  const methods = [assertion ?? assertionType, authorization, secretGiven || undefined];
  const given = methods.filter((method) => method !== undefined).length;
  if (given > 1 || namesAnother(authorization, clientId))
    refuse('client_authentication_repeated', { hint: `One method, once. ${METHOD_HINT}` });
  if (authorization !== undefined) refuse('client_authentication_method', { hint: METHOD_HINT });
  if (given === 0 || secretGiven) refuse('client_authentication_missing');
  if (assertion === undefined) refuse('parameter_missing', { hint: METHOD_HINT });
  if (assertionType !== CLIENT_ASSERTION_TYPE) refuse('parameter_invalid', { hint: METHOD_HINT });
  return assertion;
}

const BASIC = /^basic ([A-Za-z0-9+/]+=*)$/i;

/** Whether the header is of another client than the body (RFC 6749 section 2.3.1: the id is form-encoded there). */
function namesAnother(authorization: string | undefined, clientId: string | undefined): boolean {
  const encoded = clientId === undefined ? undefined : BASIC.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return false;
  const [id] = Buffer.from(encoded, 'base64').toString('utf8').split(':', 1);
  return id !== clientId && id !== encodeURIComponent(clientId ?? '');
}
