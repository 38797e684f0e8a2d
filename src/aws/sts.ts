/**
 * STS as mayfly uses it: one order, one set of credentials, or a refusal. What is passing (throttled, slow, down, an
 * answer that is none) is tried again a few times with full jitter and then answered 503; what AWS will say again is not
 * tried again, and answered with what there is to mend. Orders that are the same to the letter share one flight; nothing that came back is kept.
 *
 * Nothing that AWS says is repeated, in the log neither: its messages echo what it was sent, the identity token too.
 */
import type { AssumedRoleUser, Credentials } from '@aws-sdk/client-sts';
import type { AwsAccess } from '../catalogue/aws-access.ts';
import type { Log } from '../errors/log.ts';
import { refuse } from '../errors/refusal.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import { type Pause, pause as realPause } from '../time/pause.ts';
import { createRegionalClients } from './regional-clients.ts';
import type { SessionIdentity } from './session-identity.ts';
import { failureOf, hintFor, type StsFailure } from './sts-failure.ts';

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
  clock: Clock;
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
const RETRY_AFTER_SECONDS = '5';

/** In percent of what AWS packs at most. */
const LARGE_POLICY_PERCENT = 80;

export function createSts(options: StsOptions): Sts {
  const { log, pause = realPause, random = Math.random } = options;
  const ask = createAsking({ ...options, onLarge: createLargeTold(log) });
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

  function refuseForNow({ roleArn, region }: StsOrder, { passes: _, ...failure }: StsFailure): never {
    log.warn({ roleArn, region, ...failure }, 'AWS gave no credentials: STS is throttled, slow or down.');
    return refuse('aws_unavailable', {
      hint: 'AWS does not answer as it should; ask again.',
      headers: { 'Retry-After': RETRY_AFTER_SECONDS },
    });
  }

  function refuseForGood(order: StsOrder, failure: StsFailure): never {
    const { roleArn, region } = order;
    const { passes: _, ...told } = failure;
    log.error({ roleArn, region, ...told }, 'AWS refuses what the catalogue promises: look at the role.');
    return refuse('aws_refused', { hint: hintFor(order, failure) });
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

type OnLarge = (order: StsOrder, percent: number) => void;

/** Said once of each role, before a longer argument makes it too much. */
function createLargeTold(log: Log): OnLarge {
  const told = new Set<string>();
  return ({ roleArn }, percent) => {
    if (percent < LARGE_POLICY_PERCENT || told.has(roleArn)) return;
    told.add(roleArn);
    log.warn(
      { roleArn, percent },
      'The policy and the tags of this role are nearly too large as AWS packs them.',
    );
  };
}

function createAsking({ endpoint, identityToken, clock, onLarge }: StsOptions & { onLarge: OnLarge }) {
  /** Loaded when it is first needed: a mayfly that gives no AWS credentials has no use for it. */
  const load = () => import('@aws-sdk/client-sts');
  const clientIn = createRegionalClients(endpoint, async (options) => new (await load()).STSClient(options));

  return async function ask(order: StsOrder, abortSignal: AbortSignal): Promise<AwsCredentials> {
    const { AssumeRoleCommand, AssumeRoleWithWebIdentityCommand } = await load();
    const client = await clientIn(order.region);
    const { roleArn, sessionName, sourceIdentity, tags, policy } = order;
    const role = {
      RoleArn: roleArn,
      RoleSessionName: sessionName,
      Policy: policy,
      DurationSeconds: DURATION_SECONDS,
    };
    const { PackedPolicySize: percent = 0, ...answer } =
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
    onLarge(order, percent);
    const given = whole(answer.Credentials);
    if (!isFor(order, answer.AssumedRoleUser)) throw new UnusableAnswer('of another role');
    if (given.expires <= numericDate(clock)) throw new UnusableAnswer('over');
    return given;
  };
}

class UnusableAnswer extends Error {
  override readonly name = 'UnusableAnswer';
}

/** Whoever answers says whose credentials these are; IAM takes names of roles in any case. */
function isFor({ roleArn, sessionName }: StsOrder, user: AssumedRoleUser | undefined): boolean {
  const [, partition, , , account, role = ''] = roleArn.split(':');
  const name = role.slice(role.lastIndexOf('/') + 1);
  const ours = `arn:${partition}:sts::${account}:assumed-role/${name}/${sessionName}`;
  return user?.Arn?.toLowerCase() === ours.toLowerCase();
}

function whole(given: Credentials | undefined): AwsCredentials {
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = given ?? {};
  const expires = Math.floor((Expiration?.getTime() ?? Number.NaN) / 1000);
  if (!AccessKeyId || !SecretAccessKey || !SessionToken || Number.isNaN(expires))
    throw new UnusableAnswer('incomplete');
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
    expires,
  };
}

function deadline(milliseconds: number): { signal: AbortSignal } {
  return { signal: AbortSignal.timeout(milliseconds) };
}
