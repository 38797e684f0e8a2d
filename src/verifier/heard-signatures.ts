/**
 * Verifiers that share a process hear the same page of the feed at the same moment: its signature is verified once.
 * What is remembered is that this key signed these bytes, which stays true; whether that key is to be believed now,
 * each verifier asks for itself and each time.
 */
import { createRecent } from '../bounds/recent.ts';
import { type UnverifiedJwt, verifySignature } from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';

/** Longer ones are rare, and not worth their memory. */
const MAX_REMEMBERED_LENGTH = 8_192;
const MAX_REMEMBERED = 64;

const heard = createRecent<true>(MAX_REMEMBERED);

export function isSignedAsHeard(jwt: UnverifiedJwt, key: VerificationKey): boolean {
  if (jwt.signingInput.length > MAX_REMEMBERED_LENGTH) return verifySignature(jwt, key);
  const name = `${key.thumbprint} ${jwt.header.alg} ${jwt.signature.toString('base64url')} ${jwt.signingInput}`;
  if (heard.get(name) === true) return true;
  const isSigned = verifySignature(jwt, key);
  if (isSigned) heard.set(name, true);
  return isSigned;
}
