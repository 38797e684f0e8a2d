/**
 * mayfly as an OpenID provider that AWS trusts (STS-06): a JWT that says of one agent, for a minute, who it is and in
 * which session. Its keys are a ring of their own, its audience is STS, its type is not that of an access token: nothing
 * that verifies tokens of mayfly takes it, and AWS takes no token of mayfly.
 */
import { encodeHeader, signCompactJws } from '../jws/compact-jws.ts';
import type { Signer } from '../signing-keys/signers.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { newIdentifier } from '../time/identifier.ts';
import type { SessionIdentity } from './session-identity.ts';

export const AWS_JWKS_PATH = '/.well-known/mayfly-aws-jwks.json';
export const OPENID_PATH = '/.well-known/openid-configuration';

const AUDIENCE = 'sts.amazonaws.com';
const LIFETIME_SECONDS = 60;
/** AWS counts by its own clock. */
const BEHIND_SECONDS = 30;

export function createWebIdentity(options: { issuer: string; signer: () => Signer; clock: Clock }) {
  const { issuer, signer, clock } = options;
  return ({ sourceIdentity, tags }: SessionIdentity): string => {
    const { kid, privateKey } = signer();
    const now = numericDate(clock);
    const claims = {
      iss: issuer,
      sub: tags['mayfly-agent'],
      aud: AUDIENCE,
      iat: now - BEHIND_SECONDS,
      exp: now + LIFETIME_SECONDS,
      jti: newIdentifier('wid', clock),
      'https://aws.amazon.com/tags': {
        principal_tags: Object.fromEntries(Object.entries(tags).map(([key, value]) => [key, [value]])),
        transitive_tag_keys: [],
      },
      'https://aws.amazon.com/source_identity': sourceIdentity,
    };
    return signCompactJws(encodeHeader({ alg: 'ES256', typ: 'JWT', kid }), claims, privateKey);
  };
}

/** OpenID Connect Discovery 1.0 §3, as far as AWS asks. */
export function openidConfiguration(issuer: string) {
  return {
    issuer,
    jwks_uri: `${issuer}${AWS_JWKS_PATH}`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    claims_supported: ['iss', 'sub', 'aud', 'iat', 'exp', 'jti'],
  };
}
