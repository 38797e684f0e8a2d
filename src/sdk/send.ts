/** One request that goes out, as it stands; redirects are never followed here. */
import { AgentError, giveUp } from './agent-error.ts';

/** Where requests go: the `fetch` of the platform, or one with a proxy or certificates of its own. */
export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** Nobody answered; the message says what the platform calls it, and nothing else. */
export class NetworkFailure extends Error {
  override readonly name = 'NetworkFailure';
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** What the platform calls it: `fetch` says "fetch failed", and what happened is the cause. */
export function networkCodeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const told = cause instanceof Error ? cause : error;
  if (!(told instanceof Error)) return 'unknown';
  const code = 'code' in told && typeof told.code === 'string' ? told.code : told.name;
  return /^[\w.-]{1,64}$/.test(code) ? code : 'unknown';
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** Browsers do not show a redirect that they do not follow. */
export function isRedirect({ status, type }: Response): boolean {
  return REDIRECTS.includes(status) || type === 'opaqueredirect';
}

/**
 * To the broker, or for a document that anybody may read.
 * @param init.signal whose reason is thrown as it is
 * @throws {NetworkFailure} @throws {AgentError} `protocol` for a redirect
 */
export async function sendPlainly(
  fetch: FetchLike,
  url: string,
  { withinMilliseconds, signal, ...init }: RequestInit & { withinMilliseconds: number; signal: AbortSignal },
): Promise<Response> {
  const deadline = AbortSignal.timeout(withinMilliseconds);
  try {
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.any([signal, deadline]),
    });
    if (!isRedirect(response)) return response;
    await response.body?.cancel();
    return giveUp(
      'protocol',
      `What answers at ${new URL(url).origin} redirects elsewhere, and is not followed.`,
    );
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AgentError) throw error;
    throw new NetworkFailure(networkCodeOf(error));
  }
}
