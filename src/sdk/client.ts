/**
 * A client as anybody could write one, an agent or an operator: a long-lived key says who it is, a fresh key per
 * session makes its tokens worthless to others.
 */
import { randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import type { BoundSession, Exchange } from './bound-session.ts';

export type Client = {
  name: string;
  /** @param fields of the form: `scope`, or `authorization_details` */
  askForToken(session: BoundSession, fields: Record<string, string>): Promise<Exchange[]>;
  /** Ends this session: nothing is minted in it from then on, and every token of it is dead. */
  endSession(session: BoundSession, options?: { withinMilliseconds?: number }): Promise<Exchange[]>;
};

const ASSERTION_SECONDS = 60;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** @param key private, P-256 or Ed25519 */
export async function createClient(options: {
  name: string;
  key: JWK & { kid: string };
  issuer: string;
  tokenEndpoint: string;
}): Promise<Client> {
  const { name, key, issuer, tokenEndpoint } = options;
  const alg = key.kty === 'OKP' ? 'EdDSA' : 'ES256';
  const privateKey = await importJWK(key, alg);

  /** RFC 7523 §2.2: "I am this client", said to this broker, good for a minute and for one request. */
  const assertion = () =>
    new SignJWT()
      .setProtectedHeader({ alg, typ: 'client-authentication+jwt', kid: key.kid })
      .setIssuer(name)
      .setSubject(name)
      .setAudience(issuer)
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime(`${ASSERTION_SECONDS}s`)
      .sign(privateKey);

  return {
    name,
    async askForToken(session, fields) {
      const form = new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: await assertion(),
        ...fields,
      });
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      return session.send({ method: 'POST', url: tokenEndpoint, headers, body: form.toString() });
    },
    async endSession(session, { withinMilliseconds } = {}) {
      const body = { client_assertion_type: ASSERTION_TYPE, client_assertion: await assertion() };
      return session.send({
        method: 'POST',
        url: `${issuer}/v1/sessions/current/revoke`,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
        ...(withinMilliseconds === undefined ? {} : { withinMilliseconds }),
      });
    },
  };
}
