/**
 * The one question that only the broker can answer: may this single-use token be used now (L19). The answer counts
 * for the request that it was asked for, and for nothing else; what is not a clear yes or a clear no is 503, never a
 * yes.
 */
import { randomBytes } from 'node:crypto';
import { ASSERTION_TYPE } from './assertion.ts';
import { UnexpectedStatus } from './bounded-fetch.ts';
import type { AskBrokers } from './broker-urls.ts';
import { refuse } from './refusal.ts';

/** Uses the token up; it was alive then. @throws {VerifierRefusal} `token_spent`, `token_inactive`, or 503 */
export type Consume = (token: { jti: string }) => Promise<void>;

const NONCE_BYTES = 16;

export function createConsume(options: {
  issuer: string;
  signAssertion: () => string;
  ask: AskBrokers;
}): Consume {
  const { issuer, signAssertion, ask } = options;
  return async ({ jti }) => {
    const nonce = randomBytes(NONCE_BYTES).toString('base64url');
    const authentication = () => ({
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: signAssertion(),
    });
    const { status, json } = await ask(() => ({
      url: `${issuer}/v1/tokens/${encodeURIComponent(jti)}/consume`,
      body: { contentType: 'application/json', text: JSON.stringify({ ...authentication(), nonce }) },
      accepts: ['application/json', 'application/problem+json'],
    }));
    if (status === 200 && json.jti === jti && json.nonce === nonce) return;
    if (status === 409 && json.code === 'token_spent') refuse('token_spent');
    if (status === 409 || (status === 404 && json.code === 'token_unknown')) {
      refuse('token_inactive');
    }
    notUsable(status);
  };
}

function notUsable(status: number): never {
  const hint = 'This resource server and its broker do not agree; its operator has to look.';
  if (status === 200) refuse('broker_answer_unusable', { hint });
  refuse('broker_refuses', { hint, cause: new UnexpectedStatus(status) });
}
