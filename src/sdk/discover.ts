/** Where a broker of this name has what (RFC 8414), asked of the broker itself. */
export type Broker = { issuer: string; tokenEndpoint: string };

/** Nobody answers there, or somebody else does; the message says what to do. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
}

const PATH = '/.well-known/oauth-authorization-server';
const ANSWER_MILLISECONDS = 10_000;
const MAX_METADATA_CHARACTERS = 65_536;

/**
 * @returns null when nobody listens there
 * @throws {BrokerError} for whatever else keeps it from being found
 */
export async function discoverBroker(issuer: string): Promise<Broker | null> {
  const answer = await ask(`${issuer}${PATH}`, issuer);
  if (answer === null) return null;
  const { issuer: named, token_endpoint: tokenEndpoint } = objectOf(await answer.text());
  // RFC 8414 §3.3: to the letter, or somebody else's assertions could be got out of us
  if (named !== issuer || typeof tokenEndpoint !== 'string' || !isBelow(tokenEndpoint, issuer)) {
    throw new BrokerError(`What answers at ${issuer} is no broker of that name.`);
  }
  return { issuer, tokenEndpoint };
}

/** An endpoint elsewhere, or without TLS, would be handed assertions for this issuer. */
function isBelow(url: string, issuer: string): boolean {
  return URL.canParse(url) && new URL(url).origin === new URL(issuer).origin;
}

async function ask(url: string, issuer: string): Promise<Response | null> {
  try {
    return await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
  } catch (error) {
    const code = networkCodeOf(error);
    if (code === 'ECONNREFUSED') return null;
    const about = /CERT|SELF_SIGNED|ISSUER/.test(code)
      ? ' NODE_EXTRA_CA_CERTS names certificates to trust.'
      : '';
    throw new BrokerError(`The broker at ${issuer} cannot be reached (${code}).${about}`);
  }
}

/** fetch says "fetch failed"; what happened is the cause. */
export function networkCodeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message;
  return error instanceof Error ? error.name : 'unknown';
}

function objectOf(text: string): Record<string, unknown> {
  if (text.length > MAX_METADATA_CHARACTERS) return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
