/** A token for whoever sends requests by other means than `fetch`. */
import type { HeldToken } from './access-token.ts';
import type { AgentClock } from './agent-clock.ts';
import type { Credentials } from './presenter.ts';

export type AgentToken = {
  /** Worth nothing without proofs of the session's key. Not enumerable: neither JSON nor a spread has it. */
  readonly accessToken: string;
  /** By the clock here, milliseconds since 1970. */
  readonly expiresAt: number;
  readonly actions: readonly string[];
  readonly sessionId: string | undefined;
  /**
   * What one request carries; another request needs another one.
   * @param request.nonce that its server asked for; default: the newest that this agent knows of
   */
  credentials(request: {
    method: string;
    url: string | URL;
    nonce?: string;
    signal?: AbortSignal;
  }): Promise<Credentials>;
};

export function showToken(
  token: HeldToken,
  { clock, credentials }: { clock: AgentClock; credentials: AgentToken['credentials'] },
): AgentToken {
  const shown = {
    expiresAt: Math.floor(clock.milliseconds() + token.lifetimeMilliseconds - token.ageMilliseconds()),
    actions: token.actions,
    sessionId: token.sessionId,
    credentials,
  };
  return Object.defineProperty(shown, 'accessToken', { get: () => token.text() }) as AgentToken;
}
