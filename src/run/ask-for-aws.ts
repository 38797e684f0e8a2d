/** Asks a broker for credentials of AWS, as an agent: one shape in, and those of AWS's tools out. */
import type { AgentSession } from '../sdk/agent.ts';
import { momentOf, systemClock } from '../sdk/agent-clock.ts';
import { AgentError, giveUp } from '../sdk/agent-error.ts';
import { refusalOf } from '../sdk/broker-refusal.ts';
import { readAnswer } from '../sdk/read-answer.ts';
import { retryAfterOf } from '../sdk/retry.ts';
import { networkCodeOf } from '../sdk/send.ts';

export type AwsRequest = {
  issuer: string;
  action: string;
  arguments: Readonly<Record<string, unknown>>;
};

/** They end when the token does that they were given for. */
export type AwsCredentials = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  /** RFC 3339. */
  expiration: string;
  /** From the answer to that, by the clock of the broker. */
  lifeMilliseconds: number;
  account: string;
  roleArn: string;
  region: string;
};

type Asking = Pick<AgentSession, 'token' | 'fetch' | 'call'>;

const MEMBERS = [
  'AccessKeyId',
  'SecretAccessKey',
  'SessionToken',
  'Expiration',
  'AccountId',
  'RoleArn',
  'Region',
] as const;

/**
 * @param options.leastSeconds how long they have to live, if that can be had
 * @param options.signal of which a timeout is told as an outage
 * @throws {AgentError}
 */
export async function askForAws(
  session: Asking,
  request: AwsRequest,
  options: { leastSeconds?: number; signal: AbortSignal },
): Promise<AwsCredentials> {
  try {
    return await ask(session, request, options);
  } catch (error) {
    if (!(error instanceof Error && error.name === 'TimeoutError')) throw error;
    return giveUp('unavailable', `The broker at ${request.issuer} gives no credentials of AWS in time.`);
  }
}

async function ask(
  session: Asking,
  request: AwsRequest,
  options: { leastSeconds?: number; signal: AbortSignal },
): Promise<AwsCredentials> {
  const askedAt = momentOf(systemClock);
  const response = await send(session, request, options);
  const { status, headers } = response;
  const json = await readAnswer(response);
  if (!response.ok)
    throw refusalOf({ status, headers, json, askedAt }, retryAfterOf(headers, Date.now() / 1_000));
  return { ...readCredentials(json), lifeMilliseconds: lifeOf(json.Expiration, headers) };
}

function lifeOf(expiration: unknown, headers: Headers): number {
  const said = Date.parse(headers.get('date') ?? '');
  const life = Date.parse(String(expiration)) - (Number.isNaN(said) ? Date.now() : said);
  return Number.isNaN(life) ? 0 : Math.max(0, life);
}

function readCredentials(json: Readonly<Record<string, unknown>>): Omit<AwsCredentials, 'lifeMilliseconds'> {
  const [accessKeyId, secretAccessKey, sessionToken, expiration, account, roleArn, region] = MEMBERS.map(
    (name) => {
      const value = json[name];
      return typeof value === 'string'
        ? value
        : giveUp('protocol', 'What came back are no credentials of AWS.');
    },
  ) as [string, string, string, string, string, string, string];
  return { accessKeyId, secretAccessKey, sessionToken, expiration, account, roleArn, region };
}

/** With a token of the session; where the action is had for one call at a time, with a token for this one. */
async function send(
  session: Asking,
  { issuer, action, arguments: values }: AwsRequest,
  { leastSeconds = 0, signal }: { leastSeconds?: number; signal: AbortSignal },
): Promise<Response> {
  const url = `${issuer}/v1/aws/credentials`;
  const body = { action, arguments: values, format: 'plain' };
  const wanted = { actions: [action], resource: `${issuer}/v1/aws` };
  try {
    await session.token({ ...wanted, leastSeconds, signal }); // held from now on, and used right below
    return await session.fetch(url, {
      ...wanted,
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (isForOneCall(error))
      return session.call({ action, method: 'POST', url, arguments: body }, { signal });
    if (!(error instanceof TypeError)) throw error;
    return giveUp(
      'unavailable',
      `The broker at ${issuer} cannot be reached (${networkCodeOf(error.cause)}).`,
    );
  }
}

/** One code stands for several rules; the words for this one name the way to ask. */
function isForOneCall(error: unknown): boolean {
  return error instanceof AgentError && error.hint?.includes('authorization_details') === true;
}

/** As `credential_process` prints them. */
export function forCredentialProcess(credentials: AwsCredentials) {
  const { sessionToken: SessionToken, account: AccountId } = credentials;
  return { Version: 1, ...keys(credentials), SessionToken, AccountId };
}

/** As tools read them at AWS_CONTAINER_CREDENTIALS_FULL_URI. */
export function forContainer(credentials: AwsCredentials) {
  const { sessionToken: Token, account: AccountId, roleArn: RoleArn } = credentials;
  return { ...keys(credentials), Token, AccountId, RoleArn };
}

function keys({ accessKeyId, secretAccessKey, expiration }: AwsCredentials) {
  return { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Expiration: expiration };
}
