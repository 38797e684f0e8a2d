/** `mayfly/agent`: what an agent embeds. Nothing of Node is needed for it. */

export {
  type Agent,
  type AgentOptions,
  type AgentSession,
  createAgent,
  type TokenRequest,
} from './agent.ts';
export type { AgentClock } from './agent-clock.ts';
export { AgentError, type AgentErrorCode, type AgentErrorDetails } from './agent-error.ts';
export type { AgentKey, PrivateJwk } from './agent-key.ts';
export type { AgentFetch, AgentFetchInit } from './authorised-fetch.ts';
export type { AgentCall, CallInit } from './one-call.ts';
export type { FetchLike } from './send.ts';
export type { AgentToken } from './shown-token.ts';
export type { Signer } from './signer.ts';
