/** "I am this client" (RFC 7523 §2.2), said to one broker, good once and for a minute. */
import { unlessAborted } from './agent-clock.ts';
import { AgentError, giveUp } from './agent-error.ts';
import { networkCodeOf } from './send.ts';
import { newIdentifier } from './session-key.ts';
import { type Signer, signJwt } from './signer.ts';

const ASSERTION_SECONDS = 60;
const SIGNED_WITHIN_MILLISECONDS = 20_000;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export type Credentials = { client_assertion_type: string; client_assertion: string };

export async function signAssertion(
  signer: Promise<Signer>,
  {
    clientId,
    issuer,
    issuedAt,
    signal,
  }: { clientId: string; issuer: string; issuedAt: number; signal: AbortSignal },
): Promise<Credentials> {
  const { alg, kid, sign } = await unlessAborted(signer, signal);
  const header = { alg, typ: 'client-authentication+jwt', ...(kid === undefined ? {} : { kid }) };
  const about = { iss: clientId, sub: clientId, aud: issuer }; // the issuer and nothing else: RFC 7523bis §4
  const claims = { ...about, iat: issuedAt, exp: issuedAt + ASSERTION_SECONDS, jti: newIdentifier() };
  try {
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(SIGNED_WITHIN_MILLISECONDS)]);
    const text = await unlessAborted(signJwt({ alg, sign }, { header, claims }, inTime), inTime);
    return { client_assertion_type: ASSERTION_TYPE, client_assertion: text };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AgentError) throw error;
    // A key service that is away. Its own words may hold anything.
    return giveUp('unavailable', `The key of ${clientId} could not sign (${networkCodeOf(error)}).`);
  }
}
