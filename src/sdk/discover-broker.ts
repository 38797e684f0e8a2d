/** Where a broker of this name has what (RFC 8414), asked of the broker itself. */
import { give } from './agent-error.ts';
import { parseSafeUrl } from './places.ts';
import { readAnswer } from './read-answer.ts';

export type Broker = { issuer: string; tokenEndpoint: string };

/** @throws {AgentError} `misconfigured` or `protocol` when it is somebody else, or says what cannot be believed */
export async function readBroker(response: Response, issuer: string): Promise<Broker> {
  const { issuer: named, token_endpoint: tokenEndpoint } = await readAnswer(response);
  // RFC 8414 §3.3: to the letter, or assertions for one broker could be got by another one
  if (!response.ok || named !== issuer) {
    give('misconfigured', `What answers at ${issuer} is no broker of exactly that name.`, {
      status: response.status,
      hint: 'The issuer has to be spelt as the broker spells it, without a slash at the end.',
    });
  }
  if (parseSafeUrl(tokenEndpoint)?.origin !== new URL(issuer).origin) {
    give('protocol', `The broker at ${issuer} names a token endpoint that is not its own.`);
  }
  return { issuer, tokenEndpoint: tokenEndpoint as string };
}
