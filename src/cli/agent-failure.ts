/** How a command of an agent ends when the agent does not get what it asked for, in the exit codes of failure.ts. */
import { AgentError, type AgentErrorCode } from '../sdk/agent-error.ts';
import { CommandFailure, EXIT, type ExitCode, exitCodeFor } from './failure.ts';
import { plainText } from './plain-text.ts';

const BY_CODE: Readonly<Record<AgentErrorCode, ExitCode>> = {
  denied: EXIT.denied,
  approval_pending: EXIT.denied,
  stopped: EXIT.denied,
  throttled: EXIT.server,
  unavailable: EXIT.server,
  misconfigured: EXIT.usage,
  clock: EXIT.authentication,
  closed: EXIT.server,
  protocol: EXIT.server,
};

/**
 * What a command asks as an agent.
 * @throws {CommandFailure} in place of an AgentError
 */
export async function askingAsAgent<Result>(ask: () => Promise<Result>): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    throw error instanceof AgentError ? agentFailure(error) : error;
  }
}

/** The message, the hint, and who could grant it as far as the broker said. */
export function agentFailure(error: AgentError): CommandFailure {
  const { message, hint, brokerCode, status, requestId } = error;
  const told =
    brokerCode === undefined || status === undefined
      ? undefined
      : { status, code: brokerCode, requestId: requestId ?? 'unknown' };
  const isSaid = hint !== undefined && message.includes(hint); // OAuth's description of an error ends with it
  const sentences = [message, isSaid ? undefined : hint, ...whatNext(error)].filter(
    (part) => part !== undefined,
  );
  return new CommandFailure(exitCodeOf(error), plainText(sentences.map(ended).join(' ')), told);
}

function exitCodeOf({ code, brokerCode, status }: AgentError): ExitCode {
  if (brokerCode === 'invalid_client' || brokerCode === 'invalid_dpop_proof') return EXIT.authentication;
  const isRefusal = brokerCode !== undefined && status !== undefined;
  if (code === 'protocol' && isRefusal) return exitCodeFor(brokerCode, status);
  const isAway = code === 'unavailable' && status === undefined;
  return isAway || (code === 'misconfigured' && status !== undefined) ? EXIT.unreachable : BY_CODE[code];
}

function whatNext({ retryAfterSeconds, approvalId }: AgentError): (string | undefined)[] {
  return [
    approvalId === undefined ? undefined : `The question to a person is ${approvalId}`,
    retryAfterSeconds === undefined ? undefined : `Again in ${retryAfterSeconds} s`,
  ];
}

function ended(sentence: string): string {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
