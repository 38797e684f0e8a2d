/** What an action gives at AWS. Any change of it may widen; less of the same is all that provably does not. */
import { canonicalJson } from '../json/canonical-json.ts';
import type { AwsAccess } from './aws-access.ts';
import type { AwsStatement } from './aws-policy.ts';
import type { Action } from './catalogue.ts';
import type { NamedChange, Versions } from './catalogue-change.ts';

export function compareAws({ before, after }: Versions<Action>, who: string): NamedChange | null {
  const { name: action } = after;
  if (canonicalJson(before.aws ?? null) === canonicalJson(after.aws ?? null)) return null;
  if (after.aws === undefined) {
    return { kind: 'aws-removed', action, sentence: `${action} gives ${who} no AWS credentials any more.` };
  }
  const { roleArn, region } = after.aws;
  if (before.aws === undefined) {
    const sentence = `${action} now gives ${who} AWS credentials of ${roleArn} in ${region}, for ${summary(after.aws)}.`;
    return { kind: 'aws-added', action, sentence };
  }
  if (isLess(before.aws, after.aws)) {
    const sentence = `The AWS credentials that ${action} gives ${who} are for less than before: ${summary(after.aws)}.${denyTold(before.aws, after.aws)}`;
    return { kind: 'aws-narrowed', action, sentence };
  }
  const sentence =
    `The AWS credentials that ${action} gives ${who} may be for more than before: they are of ${roleArn} in ${region} ` +
    `by ${after.aws.via}, for ${summary(after.aws)}; before of ${before.aws.roleArn} in ${before.aws.region} by ` +
    `${before.aws.via}, for ${summary(before.aws)}.${denyTold(before.aws, after.aws)}`;
  return { kind: 'aws-changed', action, sentence };
}

/** Every statement has its like before, with at least its actions and resources. */
function isLess(
  { policy: before, denyWhenRevoked: denied, ...from }: AwsAccess,
  { policy: after, denyWhenRevoked: denies, ...to }: AwsAccess,
): boolean {
  const isWithin = (statement: AwsStatement) => before.Statement.some((other) => contains(other, statement));
  const isSoonerOver = denies === true || denied !== true;
  return isSoonerOver && canonicalJson(from) === canonicalJson(to) && after.Statement.every(isWithin);
}

function denyTold({ denyWhenRevoked: before }: AwsAccess, { denyWhenRevoked: after }: AwsAccess): string {
  if (before === after) return '';
  return after
    ? ' Those that are out are denied on the role, once revoked.'
    : ' Those that are out are not denied any more, once revoked.';
}

function contains(large: AwsStatement, small: AwsStatement): boolean {
  return (
    canonicalJson(large.Condition ?? {}) === canonicalJson(small.Condition ?? {}) &&
    small.Action.every((action) => large.Action.includes(action)) &&
    small.Resource.every((resource) => large.Resource.includes(resource))
  );
}

function summary({ policy }: AwsAccess): string {
  return policy.Statement.map(({ Action, Resource, Condition }) => {
    const under = Condition === undefined ? '' : ` if ${canonicalJson(Condition)}`;
    return `${Action.join(', ')} on ${Resource.join(', ')}${under}`;
  }).join('; ');
}
