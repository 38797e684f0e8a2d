/**
 * STS as mayfly uses it: one order, one set of credentials, or a refusal. What is passing (throttled, slow, down, an
 * answer that is none) is tried again a few times with full jitter and then answered 503; what AWS will say again is not
 * tried again. Orders that are the same to the letter share one flight; nothing that came back is kept.
 *
 * Nothing that AWS says is repeated, in the log neither: its messages echo what it was sent, the identity token too.
 */
import type { Credentials, STSClient } from '@aws-sdk/client-sts';
import type { AwsAccess } from '../catalogue/aws-access.ts';
import type { Log } from '../errors/log.ts';
import { refuse } from '../errors/refusal.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { type Pause, pause as realPause } from '../time/pause.ts';
import type { SessionIdentity } from './session-identity.ts';

export type StsOrder = Pick<AwsAccess, 'account' | 'roleArn' | 'region' | 'via'> &
  SessionIdentity & {
    /** JSON of the session policy. */
    policy: string;
  };

export type AwsCredentials = {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  /** NumericDate of AWS's clock. */
  expires: number;
};

export type Sts = {
  /** @throws {Refusal} `aws_unavailable`, `aws_refused`, `queue_full` */
  assume(order: StsOrder): Promise<AwsCredentials>;
};

export type StsOptions = {
  /** Absent: the region's own. */
  endpoint: string | undefined;
  /** Says to AWS who the agent is. */
  identityToken: (identity: SessionIdentity) => string;
  log: Log;
  pause?: Pause;
  random?: () => number;
};

/** The least that STS gives. The session policy ends them with the token. */
const DURATION_SECONDS = 900;
const MAX_ATTEMPTS = 3;
const ATTEMPT_MILLISECONDS = 3_000;
const ALL_ATTEMPTS_MILLISECONDS = 8_000;
const BACK_OFF_MILLISECONDS = 200;
const MAX_FLIGHTS = 256;
const RETRY_AFTER = { unavailable: '5', refused: '60' };

/** Of 4xx, what passes by itself. */
const PASSING = new Set([
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'TooManyRequestsException',
  'RequestTimeout',
  'IDPCommunicationError',
]);

type Failure = {
  name: string;
  status: number | undefined;
  awsRequestId: string | undefined;
  passes: boolean;
};

export function createSts(options: StsOptions): Sts {
  const { log, pause = realPause, random = Math.random } = options;
  const ask = createAsking(options);
  const flights = new Map<string, Promise<AwsCredentials>>();

  async function assume(order: StsOrder): Promise<AwsCredentials> {
    const { signal } = deadline(ALL_ATTEMPTS_MILLISECONDS);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await ask(order, AbortSignal.any([signal, deadline(ATTEMPT_MILLISECONDS).signal]));
      } catch (error) {
        const failure = failureOf(error);
        if (!failure.passes) return refuseForGood(order, failure);
        if (attempt === MAX_ATTEMPTS || signal.aborted) return refuseForNow(order, failure);
        await pause(random() * BACK_OFF_MILLISECONDS * 2 ** attempt, signal);
      }
    }
  }

  function refuseForNow({ roleArn, region }: StsOrder, { passes: _, ...failure }: Failure): never {
    log.warn({ roleArn, region, ...failure }, 'AWS gave no credentials: STS is throttled, slow or down.');
    return refuse('aws_unavailable', {
      hint: 'AWS does not answer as it should; ask again.',
      headers: { 'Retry-After': RETRY_AFTER.unavailable },
    });
  }

  function refuseForGood({ roleArn, region }: StsOrder, { passes: _, ...failure }: Failure): never {
    log.error({ roleArn, region, ...failure }, 'AWS refuses what the catalogue promises: look at the role.');
    return refuse('aws_refused', {
      hint: 'AWS refuses this role; the log of mayfly says by which error, its operators can mend it.',
      headers: { 'Retry-After': RETRY_AFTER.refused },
    });
  }

  return {
    assume(order) {
      const key = canonicalDigest(order);
      const flight = flights.get(key);
      if (flight !== undefined) return flight;
      if (flights.size >= MAX_FLIGHTS) refuse('queue_full');
      const started = assume(order).finally(() => flights.delete(key));
      flights.set(key, started);
      return started;
    },
  };
}

function createAsking({ endpoint, identityToken }: StsOptions) {
  const clients = new Map<string, STSClient>();

  /** Loaded when it is first needed: a mayfly that gives no AWS credentials has no use for it. */
  async function load() {
    return import('@aws-sdk/client-sts');
  }

  async function clientOf(region: string): Promise<STSClient> {
    const { STSClient: Client } = await load();
    const client =
      clients.get(region) ??
      new Client({ region, maxAttempts: 1, ...(endpoint === undefined ? {} : { endpoint }) });
    clients.set(region, client);
    return client;
  }

  return async function ask(order: StsOrder, abortSignal: AbortSignal): Promise<AwsCredentials> {
    const { AssumeRoleCommand, AssumeRoleWithWebIdentityCommand } = await load();
    const client = await clientOf(order.region);
    const { roleArn, sessionName, sourceIdentity, tags, policy } = order;
    const role = {
      RoleArn: roleArn,
      RoleSessionName: sessionName,
      Policy: policy,
      DurationSeconds: DURATION_SECONDS,
    };
    const { Credentials: given } =
      order.via === 'web_identity'
        ? await client.send(
            new AssumeRoleWithWebIdentityCommand({ ...role, WebIdentityToken: identityToken(order) }),
            { abortSignal },
          )
        : await client.send(
            new AssumeRoleCommand({
              ...role,
              SourceIdentity: sourceIdentity,
              Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
            }),
            { abortSignal },
          );
    return whole(given);
  };
}

class IncompleteAnswer extends Error {
  override readonly name = 'IncompleteAnswer';
}

function whole(given: Credentials | undefined): AwsCredentials {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = given ?? {};
  const expires = Math.floor((Expiration?.getTime() ?? Number.NaN) / 1000);
  if (!AccessKeyId || !SecretAccessKey || !SessionToken || Number.isNaN(expires))
    throw new IncompleteAnswer();
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expires,
  };
}

/** Of whatever was thrown only what cannot repeat anything that was sent or came back. */
function failureOf(error: unknown): Failure {
  const { name = 'Error', $metadata = {} } = error as {
    name?: string;
    $metadata?: { httpStatusCode?: number; requestId?: string };
  };
  const { httpStatusCode: status, requestId: awsRequestId } = $metadata;
  const isOfCaller = status !== undefined && status >= 400 && status < 500 && status !== 429;
  const isOurs = name === 'CredentialsProviderError';
  return { name, status, awsRequestId, passes: PASSING.has(name) || !(isOfCaller || isOurs) };
}

function deadline(milliseconds: number): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(milliseconds) };
}
