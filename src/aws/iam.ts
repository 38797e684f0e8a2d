/**
 * IAM as mayfly uses it: one inline policy of its own on a role, put, read and removed. IAM knows a role by its name,
 * within the account of whoever asks; so before anything is changed it says whose role that is (iam:GetRole), and
 * another account's, or another path's, is left alone.
 *
 * Of what IAM answers only its error's name is kept.
 */
import type { IAMClient } from '@aws-sdk/client-iam';
import { readAwsError } from './aws-error.ts';
import { createRegionalClients } from './regional-clients.ts';

export type Iam = {
  /** @throws {IamError} */
  put(roleArn: string, policy: string): Promise<void>;
  /** Also when it is not there. @throws {IamError} */
  remove(roleArn: string): Promise<void>;
  /** JSON, or null when it is not there. @throws {IamError} */
  read(roleArn: string): Promise<string | null>;
};

export class IamError extends Error {
  override readonly name = 'IamError';
  /** IAM's own word, like `AccessDenied`. */
  readonly code: string;
  /** Whether IAM may have done it all the same. */
  readonly unknown: boolean;

  constructor(code: string, { unknown = false } = {}) {
    super(`IAM: ${code}`);
    this.code = code;
    this.unknown = unknown;
  }
}

export const DENY_POLICY_NAME = 'mayfly-revoked';

const CALL_MILLISECONDS = 4_000;

/** IAM has one place for each partition, and signatures name it. */
const REGIONS: Readonly<Record<string, string>> = {
  aws: 'us-east-1',
  'aws-cn': 'cn-north-1',
  'aws-us-gov': 'us-gov-west-1',
};

/** @param options.endpoint absent: the partition's own */
export function createIam({ endpoint }: { endpoint: string | undefined }): Iam {
  // Loaded when it is first needed.
  const load = () => import('@aws-sdk/client-iam');
  const clientIn = createRegionalClients(endpoint, async (options) => new (await load()).IAMClient(options));

  async function requireRole(client: IAMClient, roleArn: string): Promise<string> {
    const RoleName = roleArn.slice(roleArn.lastIndexOf('/') + 1);
    const { GetRoleCommand } = await load();
    const { Role } = await client.send(new GetRoleCommand({ RoleName }), within());
    if (Role?.Arn !== roleArn) throw new IamError('AnotherRole');
    return RoleName;
  }

  /** Our policy there, as each call about it names it. */
  async function policyOn(roleArn: string) {
    const [, partition = ''] = roleArn.split(':');
    const client = await clientIn(REGIONS[partition] ?? 'us-east-1');
    const RoleName = await requireRole(client, roleArn);
    return { client, policy: { RoleName, PolicyName: DENY_POLICY_NAME } };
  }

  return {
    put: (roleArn, document) =>
      named(async () => {
        const { client, policy } = await policyOn(roleArn);
        const { PutRolePolicyCommand } = await load();
        await client.send(new PutRolePolicyCommand({ ...policy, PolicyDocument: document }), within());
      }),
    remove: (roleArn) =>
      named(async () => {
        const { client, policy } = await policyOn(roleArn);
        const { DeleteRolePolicyCommand } = await load();
        await ifThere(client.send(new DeleteRolePolicyCommand(policy), within()));
      }),
    read: (roleArn) =>
      named(async () => {
        const { client, policy } = await policyOn(roleArn);
        const { GetRolePolicyCommand } = await load();
        const found = await ifThere(client.send(new GetRolePolicyCommand(policy), within()));
        return found === null ? null : decodeURIComponent(found.PolicyDocument ?? '');
      }),
  };
}

function within(): { abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(CALL_MILLISECONDS) };
}

/** @returns null when there is no such policy */
async function ifThere<Result>(answer: Promise<Result>): Promise<Result | null> {
  try {
    return await answer;
  } catch (error) {
    if (readAwsError(error).name === 'NoSuchEntity') return null;
    throw error;
  }
}

async function named<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof IamError) throw error;
    const { name, isRefused } = readAwsError(error);
    throw new IamError(name, { unknown: !isRefused });
  }
}
