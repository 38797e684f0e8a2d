/**
 * What STS says when it gives nothing, by the name of its error alone: its messages echo what they were sent. Some of it
 * passes by itself; the rest stays until somebody mends the role, the provider or the catalogue, and is told in words
 * that say which, for whoever asks can do nothing about it.
 */
import { type AwsError, readAwsError } from './aws-error.ts';
import type { StsOrder } from './sts.ts';

export type StsFailure = Omit<AwsError, 'isRefused'> & { passes: boolean };

/** Of 4xx, what passes by itself. */
const PASSING = new Set([
  'Throttling',
  'RequestLimitExceeded',
  'TooManyRequests',
  'RequestTimeout',
  'IDPCommunicationError',
]);

export function failureOf(error: unknown): StsFailure {
  const { isRefused, ...said } = readAwsError(error);
  return { ...said, passes: PASSING.has(said.name) || said.status === 429 || !isRefused };
}

const TRUST = {
  web_identity:
    'its trust policy has to let the OpenID provider of mayfly do sts:AssumeRoleWithWebIdentity and sts:TagSession',
  assume_role:
    'its trust policy, and that of the brokers, have to let the AWS identity of the brokers do sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity',
};
const PROVIDER =
  'its account needs an OpenID provider with the issuer of mayfly as URL and sts.amazonaws.com as audience, and AWS has to reach that issuer';
const IDENTITY = 'the brokers have no AWS identity that AWS knows';

/** What to mend, by STS's name for it. */
const MENDING: Readonly<Record<string, string | ((order: StsOrder) => string)>> = {
  AccessDenied: ({ via }) => TRUST[via],
  InvalidIdentityToken: PROVIDER,
  IDPRejectedClaim: PROVIDER,
  ExpiredToken:
    'what mayfly said of the agent is too old by the clock of AWS: look at the clocks of the brokers',
  MalformedPolicyDocument: 'AWS does not understand the policy of this action in the catalogue',
  PackedPolicyTooLarge:
    'the policy of this action, with its arguments and the session tags, is too large as AWS packs it: shorten it in the catalogue',
  RegionDisabled: ({ region }) => `STS is switched off for its account in ${region}`,
  CredentialsProviderError: IDENTITY,
  InvalidClientTokenId: IDENTITY,
  UnrecognizedClient: IDENTITY,
  SignatureDoesNotMatch: IDENTITY,
};

/** For whoever asked; both names stand in the catalogue, or are AWS's own. */
export function hintFor(order: StsOrder, { name }: StsFailure): string {
  const mending = Object.hasOwn(MENDING, name) ? MENDING[name] : undefined;
  const what = typeof mending === 'function' ? mending(order) : mending;
  return `AWS does not give ${order.roleArn}: ${what ?? 'the log of mayfly says by which error'}.`;
}
