/** Asks a broker for credentials of AWS, as an agent, in the shape in which one of AWS's tools reads them. */
import type { Agent } from '../sdk/agent.ts';
import { AgentError } from '../sdk/agent-error.ts';
import { readAnswer } from '../sdk/read-answer.ts';
import { fail, refusedBy, unreachable } from './failure.ts';

export type AwsRequest = {
  issuer: string;
  action: string;
  arguments: Readonly<Record<string, unknown>>;
  format: 'credential_process' | 'container';
};

/** Members of each shape, all of them texts but for the version. */
const SHAPES = {
  credential_process: ['AccessKeyId', 'SecretAccessKey', 'SessionToken', 'Expiration'],
  container: ['AccessKeyId', 'SecretAccessKey', 'Token', 'Expiration'],
} as const;

/** @throws {AgentError} when there is no token for it @throws {CommandFailure} when there are no credentials */
export async function askForAws(
  agent: Agent,
  request: AwsRequest,
): Promise<Readonly<Record<string, unknown>>> {
  const { issuer, action, format } = request;
  const response = await send(agent, request).catch((error: unknown) => {
    throw error instanceof TypeError ? unreachable(issuer, error.cause ?? error) : error;
  });
  const { status, headers } = response;
  const body = await readAnswer(response);
  if (!response.ok) {
    throw refusedBy({
      status,
      body,
      requestId: headers.get('request-id'),
      date: headers.get('date'),
      as: `the agent, for ${action}`,
    });
  }
  const isWhole = SHAPES[format].every((name) => typeof body[name] === 'string');
  return isWhole ? body : fail('server', 'What came back are no credentials of AWS.');
}

/** With a token of the session; where the action is had for one call at a time, with a token for this one. */
async function send(
  agent: Agent,
  { issuer, action, arguments: values, format }: AwsRequest,
): Promise<Response> {
  const url = `${issuer}/v1/aws/credentials`;
  const body = { action, arguments: values, format };
  try {
    return await agent.fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      actions: [action],
      resource: `${issuer}/v1/aws`,
    });
  } catch (error) {
    if (!isForOneCall(error)) throw error;
    return agent.call({ action, method: 'POST', url, arguments: body });
  }
}

/** One code stands for several rules; the words for this one name the way to ask. */
function isForOneCall(error: unknown): boolean {
  return error instanceof AgentError && error.hint?.includes('authorization_details') === true;
}
