/**
 * The broker as one agent sees it: it is found once, told who asks (a new assertion for each attempt), shown a proof
 * of the session's key, and asked again, boundedly, when it cannot answer. Nonces and clocks that are off are its
 * business: whoever asks gets an answer, or the reason why there is none.
 */
import { type AgentClock, type Moment, momentOf } from './agent-clock.ts';
import { type AgentError, giveUp } from './agent-error.ts';
import { createAskAgain } from './ask-again.ts';
import { signAssertion } from './assertion.ts';
import { type BrokerAnswer, codeOf, refusalOf } from './broker-refusal.ts';
import { askBroker, type Broker, readBroker } from './discover-broker.ts';
import type { Nonces } from './nonces.ts';
import { requireIssuer } from './places.ts';
import { readAnswer } from './read-answer.ts';
import { retryAfterOf } from './retry.ts';
import { type FetchLike, sendPlainly } from './send.ts';
import { MAX_SKEW_SECONDS, type ServerTimes } from './server-times.ts';
import type { SessionKey } from './session-key.ts';
import type { Signer } from './signer.ts';

export type BrokerQuestion = {
  path: 'token' | '/v1/sessions/current/revoke' | '/v1/agents/current';
  /** Besides the assertion: of the form at the token endpoint, of the JSON elsewhere. */
  fields: Readonly<Record<string, string>>;
  sessionKey: SessionKey;
  signal: AbortSignal;
};

export type BrokerLink = {
  /** @throws {AgentError} when there is none that can be believed */
  find(signal: AbortSignal): Promise<Broker>;
  /** @returns an answer of success @throws {AgentError} */
  ask(question: BrokerQuestion): Promise<BrokerAnswer>;
};

export type BrokerLinkOptions = {
  issuer: string;
  clientId: string;
  signer: Promise<Signer>;
  fetch: FetchLike;
  clock: AgentClock;
  random: () => number;
  times: ServerTimes;
  nonces: Nonces;
};

const ANSWER_MILLISECONDS = 20_000;
const MAX_NONCES = 2;
/** Brokers forgive assertions that are dated ten seconds ahead. */
const HARMLESS_SECONDS = 5;
const REFUSED_FOR_TIME_PERHAPS: readonly string[] = ['invalid_client', 'invalid_dpop_proof'];

export function createBrokerLink(options: BrokerLinkOptions): BrokerLink {
  const { issuer, clientId, signer, fetch, clock, times, nonces } = options;
  const { origin } = requireIssuer(issuer);
  const askAgain = createAskAgain(options);
  let found: Promise<Broker> | undefined;

  async function find(signal: AbortSignal): Promise<Broker> {
    found ??= askAgain(() => look(signal), signal);
    try {
      return await found;
    } catch (error) {
      found = undefined;
      throw error;
    }
  }

  async function look(signal: AbortSignal): Promise<Broker | AgentError> {
    const askedAt = momentOf(clock);
    const response = await askBroker(fetch, issuer, signal);
    times.learn(origin, response.headers);
    return isOutage(response) ? refusal(await answerOf(response, askedAt)) : readBroker(response, issuer);
  }

  /** One body, and a new proof with each nonce: to be asked for one spends nothing (RFC 9449 §8). */
  async function exchange({ path, fields, sessionKey, signal }: BrokerQuestion): Promise<BrokerAnswer> {
    const url = path === 'token' ? (await find(signal)).tokenEndpoint : `${issuer}${path}`;
    const issuedAt = times.nowSeconds(origin);
    const credentials = await signAssertion(signer, { clientId, issuer, issuedAt, signal });
    const { type, text } = bodyOf(path, { ...fields, ...credentials });
    for (let left = MAX_NONCES; left >= 0; left -= 1) {
      const proof = { method: 'POST', url, issuedAt, nonce: nonces.of(origin) };
      const headers = { Accept: 'application/json', 'Content-Type': type };
      const askedAt = momentOf(clock);
      const response = await sendPlainly(fetch, url, {
        method: 'POST',
        headers: { ...headers, DPoP: await sessionKey.sign(proof, signal) },
        body: text,
        signal,
        withinMilliseconds: ANSWER_MILLISECONDS,
      });
      nonces.learn(origin, response.headers);
      const answer = await answerOf(response, askedAt);
      if (codeOf(answer) !== 'use_dpop_nonce') return answer;
    }
    return giveUp('protocol', 'The broker asks for another nonce again and again.');
  }

  /** Once more when it was dated wrongly, which the answer shows, and will not be again. */
  async function exchangeInTime(question: BrokerQuestion): Promise<BrokerAnswer> {
    const answer = await exchange(question);
    const thoughtSeconds = times.nowSeconds(origin);
    const aheadSeconds = times.learn(origin, answer.headers);
    if (!REFUSED_FOR_TIME_PERHAPS.includes(codeOf(answer)) || aheadSeconds === null) return answer;
    if (Math.abs(aheadSeconds) > MAX_SKEW_SECONDS) return refuseClock(aheadSeconds, codeOf(answer));
    const wrongSeconds = times.nowSeconds(origin) - thoughtSeconds;
    return Math.abs(wrongSeconds) > HARMLESS_SECONDS ? exchange(question) : answer;
  }

  function refusal(answer: BrokerAnswer): AgentError {
    return refusalOf(answer, retryAfterOf(answer.headers, times.nowSeconds(origin)));
  }

  async function askOnce(question: BrokerQuestion): Promise<BrokerAnswer | AgentError> {
    const answer = await exchangeInTime(question);
    if (answer.status >= 200 && answer.status < 300) return answer;
    if (isOutage(answer)) return refusal(answer);
    throw refusal(answer);
  }

  return { find, ask: (question) => askAgain(() => askOnce(question), question.signal) };
}

function bodyOf(path: string, fields: Record<string, string>): { type: string; text: string } {
  if (path !== 'token') return { type: 'application/json', text: JSON.stringify(fields) };
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...fields });
  return { type: 'application/x-www-form-urlencoded', text: form.toString() };
}

async function answerOf(response: Response, askedAt: Moment): Promise<BrokerAnswer> {
  const { status, headers } = response;
  return { status, headers, json: await readAnswer(response), askedAt };
}

function isOutage({ status }: { status: number }): boolean {
  return status === 429 || status >= 500;
}

function refuseClock(aheadSeconds: number, brokerCode: string): never {
  const way = aheadSeconds > 0 ? 'ahead of' : 'behind';
  return giveUp('clock', `The clock here is ${Math.round(Math.abs(aheadSeconds))} s ${way} the broker's.`, {
    brokerCode,
    hint: `Up to ${MAX_SKEW_SECONDS} s are put right without anybody's help; this is too much. Set the clock.`,
  });
}
