/**
 * IAM as mayfly uses it: one inline policy of its own on a role, put, read and removed. IAM knows a role by its name,
 * within the account of whoever asks; so before anything is changed it says whose role that is (iam:GetRole), and
 * another account's, or another path's, is left alone.
 *
 * Of what IAM answers only its error's name is kept.
 */
import type { IAMClient } from '@aws-sdk/client-iam';

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
  const clients = new Map<string, IAMClient>();
  // Loaded when it is first needed.
  const load = () => import('@aws-sdk/client-iam');

  async function clientFor(roleArn: string): Promise<IAMClient> {
    const { IAMClient: Client } = await load();
    const [, partition = ''] = roleArn.split(':');
    const region = REGIONS[partition] ?? 'us-east-1';
    const client =
      clients.get(region) ??
      new Client({ region, maxAttempts: 1, ...(endpoint === undefined ? {} : { endpoint }) });
    clients.set(region, client);
    return client;
  }

  async function requireRole(client: IAMClient, roleArn: string): Promise<string> {
    const RoleName = roleArn.slice(roleArn.lastIndexOf('/') + 1);
    const { GetRoleCommand } = await load();
    const { Role } = await client.send(new GetRoleCommand({ RoleName }), within());
    if (Role?.Arn !== roleArn) throw new IamError('AnotherRole');
    return RoleName;
  }

  async function read(roleArn: string): Promise<string | null> {
    const { GetRolePolicyCommand } = await load();
    const client = await clientFor(roleArn);
    const role = { RoleName: await requireRole(client, roleArn), PolicyName: DENY_POLICY_NAME };
    try {
      const { PolicyDocument = '' } = await client.send(new GetRolePolicyCommand(role), within());
      return decodeURIComponent(PolicyDocument);
    } catch (error) {
      if (codeOf(error) === 'NoSuchEntity') return null;
      throw error;
    }
  }

  return {
    put: (roleArn, policy) =>
      named(async () => {
        const { PutRolePolicyCommand } = await load();
        const client = await clientFor(roleArn);
        const role = { RoleName: await requireRole(client, roleArn), PolicyName: DENY_POLICY_NAME };
        await client.send(new PutRolePolicyCommand({ ...role, PolicyDocument: policy }), within());
      }),
    remove: (roleArn) =>
      named(async () => {
        const { DeleteRolePolicyCommand } = await load();
        const client = await clientFor(roleArn);
        const role = { RoleName: await requireRole(client, roleArn), PolicyName: DENY_POLICY_NAME };
        try {
          await client.send(new DeleteRolePolicyCommand(role), within());
        } catch (error) {
          if (codeOf(error) !== 'NoSuchEntity') throw error;
        }
      }),
    read: (roleArn) => named(() => read(roleArn)),
  };
}

function within(): { abortSignal: AbortSignal } {
  return { abortSignal: AbortSignal.timeout(CALL_MILLISECONDS) };
}

async function named<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof IamError) throw error;
    const { httpStatusCode: status = 0 } =
      (error as { $metadata?: { httpStatusCode?: number } }).$metadata ?? {};
    const isRefused = status >= 400 && status < 500;
    const isOurs = codeOf(error) === 'CredentialsProviderError';
    throw new IamError(codeOf(error), { unknown: !(isRefused || isOurs) });
  }
}

/** As IAM writes it: clients add a word. */
function codeOf(error: unknown): string {
  const { name = 'Error' } = error as { name?: string };
  return name.replace(/Exception$/, '');
}
