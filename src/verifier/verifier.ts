/**
 * A verifier is what a resource server puts in front of its own work: it lets a request pass or says exactly why
 * not. A request passes when a token of *this* issuer, for *this* resource, that covers the action, comes with a
 * proof by the key that it is bound to, made for this very request and not used before, and the broker says right
 * then that the token is alive. A token for a single call has to be for this call, and is used up by it.
 *
 * Three habits keep it honest. Everything up to the first question to the broker is cheap, and a stranger gets no
 * further. A proof is marked as used in one synchronous step, before that question. And no answer, no time: what
 * cannot be decided is 503, and what has expired while the broker thought is refused.
 *
 * `verify` returns an object in both cases, so look at `granted`, not at whether there is an answer; `requireAction`
 * cannot be misread that way.
 */
import { normaliseTarget } from '../dpop/target-url.ts';
import { numericDate } from '../time/clock.ts';
import { type ActionGuard, createActionGuard } from './action-guard.ts';
import { createAssertionSigner } from './assertion.ts';
import { type Ask, createAsk } from './bounded-fetch.ts';
import { type Broker, createBroker } from './broker.ts';
import { callOf, checkCall } from './call.ts';
import { readCredentials } from './credentials.ts';
import { loadIssuerMetadata } from './issuer-metadata.ts';
import { createKeySet, type KeySet } from './key-set.ts';
import { refuse, VerifierRefusal } from './refusal.ts';
import { type Refused, refusedWith } from './refused.ts';
import { createRemembered } from './remembered.ts';
import type { ResourceRequest } from './resource-request.ts';
import { checkToken, hasExpired, readToken, type TokenClaims } from './token.ts';
import { createTroubleLog } from './trouble-log.ts';
import { type CheckedOptions, checkOptions, type VerifierOptions } from './verifier-options.ts';

export type Demand = {
  /** The action that this request is, as the catalogue names it. */
  action: string;
  /** Only a token for this one call will do, also if the catalogue would let sessions have the action. */
  requestToken?: boolean;
};

export type Granted = {
  granted: true;
  claims: TokenClaims;
  /** With a request token the arguments that were checked: act on these. Null with a token of a session. */
  call: { arguments: unknown } | null;
  /** To be set on the answer: the next nonce, when there is one to tell. */
  headers: Readonly<Record<string, string>>;
};

export type Verification = Granted | ({ granted: false } & Refused);

export type Verifier = ActionGuard & {
  /** Resolves once the broker was found and its keys are here. @throws {Error} that says what is wrong */
  ready(): Promise<void>;
  /** Never rejects for what a client did; look at `granted`. */
  verify(request: ResourceRequest, demand: Demand): Promise<Verification>;
  /** From now on everything is refused (503). Resolves after the last decision. */
  close(): Promise<void>;
};

const MAX_QUESTIONS = 512;
const KEY_PAUSE_MILLISECONDS = 10_000;

/** @throws {TypeError} that lists every mistake in the options */
export function createVerifier(given: VerifierOptions): Verifier {
  const options = checkOptions(given);
  const { issuer, resource, publicUrl, noncePolicy, proofs, clock, log } = options;
  const { keys, broker } = connectBroker(options);
  const trouble = createTroubleLog(log, issuer);
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  const now = () => numericDate(clock);

  async function decide(request: ResourceRequest, { action, requestToken }: Demand): Promise<Granted> {
    if (closed) refuse('verifier_closed');
    const { method } = request;
    const url = `${publicUrl}${request.target}`;
    const target = targetOf(request.target, url);
    const { token, proof: proofText } = readCredentials(request);
    const unverified = readToken(token);
    const key = (await keys.keyOf(unverified.kid)) ?? refuse('token_key_unknown');
    const claims = checkToken(unverified, { key, issuer, resource, now: now() });
    const proof = proofs.check(proofText, { method, target, token, jkt: claims.cnf.jkt, noncePolicy }, now());
    if (!claims.scope.split(' ').includes(action)) {
      refuse('action_not_covered', { hint: 'Ask the broker for a token that names this action.' });
    }
    const call = callOf(claims);
    if (call === null && requestToken === true) {
      refuse('request_token_needed', { hint: 'This takes a token for one call: authorization_details.' });
    }
    const callArguments = call === null ? undefined : await request.readArguments();
    if (call !== null) checkCall(call, { action, method, url, arguments: callArguments });
    proofs.spend(proof, now());
    await (call === null ? broker.refuseUnlessAlive(token, claims) : broker.consume(claims));
    if (hasExpired(claims, now())) refuse('token_time');
    return {
      granted: true,
      claims,
      call: call === null ? null : { arguments: callArguments },
      headers: nextNonce(proof.nonce),
    };
  }

  /** RFC 9449 §8.2: on a success too, once another nonce is current than the client used. */
  function nextNonce(used: string | undefined): Record<string, string> {
    const nonce = proofs.nonce();
    return used === undefined || used === nonce ? {} : { 'DPoP-Nonce': nonce };
  }

  async function answer(request: ResourceRequest, demand: Demand): Promise<Verification> {
    try {
      const granted = await decide(request, demand);
      trouble.over();
      return granted;
    } catch (error) {
      if (!(error instanceof VerifierRefusal)) throw error;
      trouble.refused(error);
      const { resourceMetadataUrl } = options;
      const context = { resourceMetadataUrl, action: demand.action, nonce: proofs.nonce };
      return { granted: false, ...refusedWith(error, context) };
    }
  }

  async function verify(request: ResourceRequest, demand: Demand): Promise<Verification> {
    const decision = answer(request, demand);
    underWay.add(decision);
    try {
      return await decision;
    } finally {
      underWay.delete(decision);
    }
  }

  return {
    ...createActionGuard(verify),
    verify,
    async ready() {
      await keys.load().catch((error: unknown) => {
        throw new Error(`the broker ${issuer} cannot be asked: ${reasonOf(error)}`, { cause: error });
      });
    },
    async close() {
      closed = true;
      await Promise.allSettled(underWay);
    },
  };
}

function connectBroker(options: CheckedOptions): { keys: KeySet; broker: Broker } {
  const { issuer, resource, key, clock, timeoutMilliseconds } = options;
  const ask: Ask = createAsk({ fetch: options.fetch, timeoutMilliseconds, maxQuestions: MAX_QUESTIONS });
  const metadata = createRemembered({
    load: () => loadIssuerMetadata(issuer, ask),
    pauseMilliseconds: KEY_PAUSE_MILLISECONDS,
    clock,
  });
  return {
    keys: createKeySet({
      jwksUrl: async () => (await metadata.get()).jwksUrl,
      ask,
      pauseMilliseconds: KEY_PAUSE_MILLISECONDS,
      clock,
    }),
    broker: createBroker({
      issuer,
      introspectionUrl: async () => (await metadata.get()).introspectionUrl,
      signAssertion: createAssertionSigner({ key, clientId: resource, issuer, clock }),
      ask,
    }),
  };
}

/** An absolute-form target would name a host of its own (RFC 9112 §3.2.2); it and `*` are not served. */
function targetOf(target: string, url: string): string {
  const normalised = target.startsWith('/') ? normaliseTarget(url) : null;
  return normalised ?? refuse('target_malformed', { hint: 'The request target has to be a plain path.' });
}

function reasonOf(error: unknown): string {
  return error instanceof VerifierRefusal ? error.reason : String(error);
}
