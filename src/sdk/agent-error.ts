/**
 * Why an agent does not get what it asked for: one class, a closed set of codes, and whatever the broker said about
 * it. An aborted call is none of these: it rejects with the signal's reason, as `fetch` does.
 *
 *     denied            the broker's rules say no; `brokerCode` is the rule, `hint` says who could grant it
 *     approval_pending  a person has to agree first; `approvalId` names the question, if there is one
 *     stopped           this session, or this agent, was ended by somebody else: a kill, a quarantine, a revocation
 *     throttled         too much was asked; `retryAfterSeconds` says when to come back
 *     unavailable       nobody could decide, however often that was asked
 *     misconfigured     issuer, client id, key, actions or address are not what they have to be
 *     clock             the clock here is further off than is put right without a person
 *     closed            this agent was closed
 *     protocol          an answer that cannot be used, or is not to be trusted
 */
export const AGENT_ERROR_CODES = [
  'denied',
  'approval_pending',
  'stopped',
  'throttled',
  'unavailable',
  'misconfigured',
  'clock',
  'closed',
  'protocol',
] as const;

export type AgentErrorCode = (typeof AGENT_ERROR_CODES)[number];

export type AgentErrorDetails = {
  /** The broker's own code, of its closed set: `invalid_scope`, `agent_stopped`, … */
  brokerCode?: string | undefined;
  /** What would help, in a sentence. */
  hint?: string | undefined;
  /** Under which the broker's log and record have it. */
  requestId?: string | undefined;
  retryAfterSeconds?: number | undefined;
  approvalId?: string | undefined;
  /** HTTP status of the answer. */
  status?: number | undefined;
};

/** Neither its message nor any member ever holds a token, a proof, an assertion or a key. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;
  declare readonly brokerCode?: string;
  declare readonly hint?: string;
  declare readonly requestId?: string;
  declare readonly retryAfterSeconds?: number;
  declare readonly approvalId?: string;
  declare readonly status?: number;

  constructor(code: AgentErrorCode, message: string, details: AgentErrorDetails = {}) {
    super(message);
    this.code = code;
    for (const [name, value] of Object.entries(details)) {
      if (value !== undefined) Object.defineProperty(this, name, { value, enumerable: true });
    }
  }
}

/** There is nothing more to try. Throws: `throw` as an expression. */
export function giveUp(code: AgentErrorCode, message: string, details?: AgentErrorDetails): never {
  throw new AgentError(code, message, details);
}

const MAX_CHARACTERS = 400;
/** A JWS, whole or cut: what a hostile answer could repeat of what was sent to it. */
const SECRET = /[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|eyJ[\w-]{8,}/g;

/** What somebody else wrote, fit for a message: one line, bounded, and nothing in it that could be a secret. */
export function tellable(text: unknown): string | undefined {
  if (typeof text !== 'string' || text === '') return undefined;
  return text
    .slice(0, MAX_CHARACTERS)
    .replaceAll(/[^\P{C}]/gu, ' ')
    .replaceAll(SECRET, '…');
}
