/** Requests to a resource server, signed beforehand, and the two signatures in each of them cut out. */
import { type KeyObject, randomUUID } from 'node:crypto';
import { tokenHash } from '../../src/dpop/proof.ts';
import { readCompactJws } from '../../src/jws/compact-jws.ts';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import type { ResourceRequest } from '../../src/verifier/index.ts';
import { newSessionKey, signJwt } from '../test-agent.ts';
import type { FakeIssuer } from '../verifier/fake-issuer.ts';

export const AUDIENCE = 'https://customers.example.com';
export const ACTION = 'db:read:customers';

const SESSIONS = 100;
const sessions = Array.from({ length: SESSIONS }, () => newSessionKey());

export type Signed = { bytes: Buffer; signature: Buffer; key: KeyObject };
export type SignedRequest = { request: ResourceRequest; token: Signed; proof: Signed };

/**
 * @param uses how often each token is used
 * @param nonce of the verifier: what counts is its clock, and nothing has to be waited for after its start
 */
export function signRequests(options: {
  uses: number;
  count: number;
  issuer: FakeIssuer;
  nonce: string;
}): SignedRequest[] {
  const { uses, count, issuer, nonce } = options;
  const tokenKey = parseVerificationKey(issuer.signer.jwk).keyObject;
  let token = '';
  return Array.from({ length: count }, (_, index) => {
    const session = sessions[Math.floor(index / uses) % SESSIONS] ?? newSessionKey();
    if (index % uses === 0) token = signToken(issuer, session.jkt);
    const proof = signJwt(
      { typ: 'dpop+jwt', alg: 'ES256', jwk: session.publicJwk },
      {
        htm: 'GET',
        htu: `${AUDIENCE}/customers`,
        iat: Math.floor(Date.now() / 1_000),
        jti: randomUUID(),
        ath: tokenHash(token),
        nonce,
      },
      session.privateKey,
    );
    return {
      request: {
        method: 'GET',
        target: '/customers?page=2',
        headers: [
          ['Host', 'customers.example.com'],
          ['Accept', 'application/json'],
          ['Authorization', `DPoP ${token}`],
          ['DPoP', proof],
        ],
        readArguments: () => ({}),
      },
      token: cut(token, tokenKey),
      proof: cut(proof, parseVerificationKey(session.publicJwk).keyObject),
    };
  });
}

/** As a broker mints it. */
function signToken(issuer: FakeIssuer, jkt: string): string {
  const now = Math.floor(Date.now() / 1_000);
  return signJwt(
    { alg: 'EdDSA', typ: 'at+jwt', kid: issuer.signer.kid },
    {
      iss: issuer.url,
      sub: 'agt_01k5h0m2v3x8q6d0w9r7t4y1zb',
      client_id: 'report-writer',
      aud: AUDIENCE,
      iat: now,
      exp: now + 300,
      jti: `tok_${randomUUID()}`,
      scope: ACTION,
      cnf: { jkt },
      sid: 'ses_01k5h0m2v3x8q6d0w9r7t4y1zb',
      zone: 'analytics',
      epoch: issuer.ledger.head().epoch,
    },
    issuer.signer.privateKey,
  );
}

function cut(text: string, key: KeyObject): Signed {
  const { signingInput, signature } = readCompactJws(text, 16_384);
  return { bytes: Buffer.from(signingInput, 'latin1'), signature, key };
}
