/**
 * The two questions that only the broker can answer: is this token alive (RFC 7662), and may this single-use token
 * be used now (L19). An answer counts for the token that was asked about and for nothing else; anything that is
 * not a clear yes or a clear no is 503, never a yes.
 */
import { randomBytes } from 'node:crypto';
import { isJsonObject } from '../json/strict-json.ts';
import { ASSERTION_TYPE } from './assertion.ts';
import { type Ask, type BrokerAnswer, UnexpectedStatus } from './bounded-fetch.ts';
import { refuse } from './refusal.ts';
import type { TokenClaims } from './token.ts';

export type Broker = {
  /** @throws {VerifierRefusal} `token_inactive`, or 503 */
  refuseUnlessAlive(token: string, claims: TokenClaims): Promise<void>;
  /** Uses the token up; it was alive then. @throws {VerifierRefusal} `token_spent`, `token_inactive`, or 503 */
  consume(claims: TokenClaims): Promise<void>;
};

const NONCE_BYTES = 16;

export function createBroker(options: {
  issuer: string;
  introspectionUrl: () => Promise<string>;
  signAssertion: () => string;
  ask: Ask;
}): Broker {
  const { issuer, introspectionUrl, signAssertion, ask } = options;

  return {
    async refuseUnlessAlive(token, claims) {
      const form = new URLSearchParams({
        token,
        token_type_hint: 'access_token',
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: signAssertion(),
      });
      const { status, json } = await ask({
        url: await introspectionUrl(),
        body: { contentType: 'application/x-www-form-urlencoded', text: form.toString() },
      });
      if (status === 200 && json.active === false) refuse('token_inactive');
      if (status !== 200 || json.active !== true || !isAbout(json, claims)) notUsable(status);
    },

    async consume({ jti }) {
      const nonce = randomBytes(NONCE_BYTES).toString('base64url');
      const question = { client_assertion_type: ASSERTION_TYPE, client_assertion: signAssertion(), nonce };
      const { status, json } = await ask({
        url: `${issuer}/v1/tokens/${encodeURIComponent(jti)}/consume`,
        body: { contentType: 'application/json', text: JSON.stringify(question) },
        accepts: ['application/json', 'application/problem+json'],
      });
      if (status === 200 && json.jti === jti && json.nonce === nonce) return;
      if (status === 409 && json.code === 'token_spent') refuse('token_spent');
      if (status === 409 || (status === 404 && json.code === 'token_unknown')) {
        refuse('token_inactive');
      }
      notUsable(status);
    },
  };
}

function isAbout(json: BrokerAnswer['json'], { iss, jti, exp, cnf }: TokenClaims): boolean {
  const sameKey = isJsonObject(json.cnf) && json.cnf.jkt === cnf.jkt;
  return json.iss === iss && json.jti === jti && json.exp === exp && sameKey;
}

function notUsable(status: number): never {
  const hint = 'This resource server and its broker do not agree; its operator has to look.';
  if (status === 200) refuse('broker_answer_unusable', { hint });
  refuse('broker_refuses', { hint, cause: new UnexpectedStatus(status) });
}
