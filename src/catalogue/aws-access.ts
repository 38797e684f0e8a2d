/**
 * What an action gives at AWS: one role of one account, in one region, and never more of it than one small policy
 * says. Everything is exact: a role that is spelt in another way is another role. All of it is checked when the
 * catalogue loads, the size of the policy with the longest arguments too, so that nothing is found out by an agent.
 */
import { argumentBound } from './aws-arguments.ts';
import { type AwsPolicy, argumentsIn, fillPolicy, MAX_POLICY_CHARACTERS } from './aws-policy.ts';
import {
  type AwsFlaw,
  check,
  flaw,
  isText,
  placeOfResource,
  policyFlaws,
  policyOf,
} from './aws-statements.ts';
import { isMapping } from './fields.ts';

/** `web_identity`: mayfly vouches for the agent (OpenID Connect). `assume_role`: the broker's own identity assumes it. */
export const AWS_WAYS = ['web_identity', 'assume_role'] as const;

export type AwsAccess = {
  /** Twelve digits. */
  account: string;
  roleArn: string;
  region: string;
  via: (typeof AWS_WAYS)[number];
  policy: AwsPolicy;
  /** What is out when somebody is revoked is denied by a policy that mayfly puts on the role. */
  denyWhenRevoked?: true;
};

/** Where the broker itself serves these actions, below its issuer. */
export const AWS_PATH = '/v1/aws';

const ACCOUNT = /^\d{12}$/;
const REGION = /^(?:af|ap|ca|cn|eu|il|me|mx|sa|us)(?:-[a-z]{2,12}){1,3}-\d$/;
const ROLE_ARN = /^arn:(aws|aws-cn|aws-us-gov):iam::(\d{12}):role\/((?:[\w+=,.@-]+\/)*)([\w+=,.@-]{1,64})$/;
const MAX_ROLE_ARN_CHARACTERS = 512;
const EXAMPLE_MOMENT = '2000-01-01T00:00:00Z';

/** Everything that is wrong with it; nothing for what {@link awsAccessOf} may read. */
export function awsFlaws(aws: unknown, argumentsSchema: object | undefined): AwsFlaw[] {
  if (!isMapping(aws)) return [flaw([], 'a mapping with account, role_arn, region, via and policy', aws)];
  const shape = [...shapeFlaws(aws), ...policyFlaws(aws.policy)];
  if (shape.length > 0) return shape;
  const access = awsAccessOf(aws);
  return [...placeFlaws(access), ...argumentFlaws(access.policy, argumentsSchema)];
}

/** @param aws has no flaws */
export function awsAccessOf(aws: Record<string, unknown>): AwsAccess {
  const {
    role_arn: roleArn,
    deny_when_revoked: denies = false,
    policy,
    ...place
  } = aws as Pick<AwsAccess, 'account' | 'region' | 'via'> & {
    role_arn: string;
    deny_when_revoked?: boolean;
    policy: Record<string, unknown>;
  };
  return { ...place, roleArn, policy: policyOf(policy), ...(denies ? { denyWhenRevoked: true } : {}) };
}

/** As it stands in a file, for whoever keeps only the document. */
export function writtenAws({ roleArn, denyWhenRevoked, ...aws }: AwsAccess): Record<string, unknown> {
  const denies = denyWhenRevoked === undefined ? {} : { deny_when_revoked: denyWhenRevoked };
  return { ...aws, ...denies, role_arn: roleArn };
}

function shapeFlaws({
  account,
  role_arn: roleArn,
  region,
  via,
  deny_when_revoked: denies = false,
  policy: _,
  ...rest
}: Record<string, unknown>) {
  const [unknown] = Object.keys(rest);
  return [
    ...(unknown === undefined
      ? []
      : [
          flaw(
            [unknown],
            'account, role_arn, region, via, policy and perhaps deny_when_revoked, nothing else',
            unknown,
          ),
        ]),
    ...check(['deny_when_revoked'], typeof denies === 'boolean', 'true or false', denies),
    ...check(['account'], isText(account, ACCOUNT), 'the twelve digits of an account, in quotes', account),
    ...check(['region'], isText(region, REGION), 'a region like eu-central-1', region),
    ...check(
      ['via'],
      AWS_WAYS.some((way) => way === via),
      `one of ${AWS_WAYS.join(', ')}`,
      via,
    ),
    ...check(
      ['role_arn'],
      isText(roleArn, ROLE_ARN) && isExactRole(roleArn, account),
      `the exact ARN of a role in that account, like arn:aws:iam::${String(account)}:role/mayfly-reports`,
      roleArn,
    ),
  ];
}

function isExactRole(roleArn: string, account: unknown): boolean {
  const [, , ofAccount, path = ''] = ROLE_ARN.exec(roleArn) ?? [];
  const hasDots = path.split('/').some((part) => /^\.+$/.test(part));
  return ofAccount === account && !hasDots && roleArn.length <= MAX_ROLE_ARN_CHARACTERS;
}

/** The partition of the role, of the region and of every resource is one; so is the account, where one is named. */
function placeFlaws({ account, roleArn, region, policy }: AwsAccess): AwsFlaw[] {
  const partition = partitionOf(region);
  const flaws = check(
    ['role_arn'],
    roleArn.startsWith(`arn:${partition}:`),
    `a role of ${partition}, since that is where ${region} is`,
    roleArn,
  );
  const strange = policy.Statement.flatMap(({ Resource }) => Resource).find((resource) => {
    const place = placeOfResource(resource);
    return place.partition !== partition || (place.account ?? account) !== account;
  });
  if (strange === undefined) return flaws;
  return [
    ...flaws,
    flaw(['policy'], `resources of the partition ${partition} and the account ${account}`, strange),
  ];
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}

function argumentFlaws(policy: AwsPolicy, schema: object | undefined): AwsFlaw[] {
  const bounds = new Map(argumentsIn(policy).map((name) => [name, argumentBound(schema, name)] as const));
  const flaws = [...bounds.values()].flatMap((bound) =>
    'flaw' in bound ? [{ steps: ['policy'], message: bound.flaw }] : [],
  );
  if (flaws.length > 0) return flaws;
  const named = (name: string) => {
    const bound = bounds.get(name);
    return 'x'.repeat(bound !== undefined && 'longest' in bound ? bound.longest : 0);
  };
  const { length } = fillPolicy(policy, { named, until: EXAMPLE_MOMENT });
  if (length <= MAX_POLICY_CHARACTERS) return [];
  const message = `expected a policy of at most ${MAX_POLICY_CHARACTERS} characters with the longest arguments and its end in every statement, found ${length}`;
  return [{ steps: ['policy'], message }];
}
