/** Where a broker of this name has what (RFC 8414), asked of the broker itself. */
import { AgentError, giveUp } from './agent-error.ts';
import { parseSafeUrl, requireIssuer, wellKnown } from './places.ts';
import { readAnswer } from './read-answer.ts';
import { type FetchLike, NetworkFailure, sendPlainly } from './send.ts';

export type Broker = { issuer: string; tokenEndpoint: string };

const ANSWER_MILLISECONDS = 20_000;

/** @throws {NetworkFailure} @throws {AgentError} when it redirects elsewhere */
export function askBroker(fetch: FetchLike, issuer: string, signal: AbortSignal): Promise<Response> {
  const url = wellKnown('oauth-authorization-server', requireIssuer(issuer));
  const headers = { Accept: 'application/json' };
  return sendPlainly(fetch, url, { headers, signal, withinMilliseconds: ANSWER_MILLISECONDS });
}

/** @throws {AgentError} `misconfigured` or `protocol` when it is somebody else, or says what cannot be believed */
export async function readBroker(response: Response, issuer: string): Promise<Broker> {
  const { issuer: named, token_endpoint: tokenEndpoint } = await readAnswer(response);
  // RFC 8414 §3.3: to the letter, or assertions for one broker could be got by another one
  if (!response.ok || named !== issuer) {
    giveUp('misconfigured', `What answers at ${issuer} is no broker of that name.`, {
      status: response.status,
      hint: 'The issuer has to be spelt as the broker spells it, without a slash at the end.',
    });
  }
  if (parseSafeUrl(tokenEndpoint)?.origin !== new URL(issuer).origin) {
    giveUp('protocol', `The broker at ${issuer} names a token endpoint that is not its own.`);
  }
  return { issuer, tokenEndpoint: tokenEndpoint as string };
}

/**
 * For those who do not wait for it.
 * @returns null when nobody listens there
 * @throws {AgentError} for whatever else keeps it from being found
 */
export async function discoverBroker(issuer: string): Promise<Broker | null> {
  try {
    return await readBroker(await askBroker(fetch, issuer, new AbortController().signal), issuer);
  } catch (error) {
    if (!(error instanceof NetworkFailure)) throw error;
    if (error.code === 'ECONNREFUSED') return null;
    throw notReached(issuer, error);
  }
}

export function notReached(issuer: string, { code }: NetworkFailure): AgentError {
  const isAboutTrust = /CERT|SELF_SIGNED|ISSUER/.test(code);
  const hint = isAboutTrust ? 'In Node, NODE_EXTRA_CA_CERTS names certificates to trust.' : undefined;
  return new AgentError('unavailable', `The broker at ${issuer} cannot be reached (${code}).`, { hint });
}
