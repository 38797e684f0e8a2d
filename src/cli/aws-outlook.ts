/** What people are told of AWS credentials that are out: what a kill cannot call back, and what was done about it. */
import { plainText } from './plain-text.ts';

type Stated = {
  credentials?: unknown;
  live_until?: unknown;
  unlisted_live_until?: unknown;
  roles?: unknown;
};
type Role = { role_arn?: unknown; deny?: { state?: unknown; put_at?: unknown; failed_at?: unknown } };

/** @returns null when nothing is out, or nothing is said of it */
export function awsOutlook(aws: unknown): string | null {
  const { credentials, live_until: until, unlisted_live_until: unlisted, roles } = (aws ?? {}) as Stated;
  const lines: string[] = [];
  if (typeof until === 'string' && Number(credentials) > 0) {
    lines.push(
      `AWS takes ${setsOf(Number(credentials))} that were given before, the last until ${plainText(until)}.`,
    );
  }
  if (Array.isArray(roles)) lines.push(...roles.flatMap(denyOf));
  if (typeof unlisted === 'string') {
    lines.push(`Credentials that the database has forgotten end by ${plainText(unlisted)}.`);
  }
  return lines.length === 0 ? null : lines.join(' ');
}

function setsOf(count: number): string {
  return count === 1 ? 'at most one set of credentials' : `at most ${count} sets of credentials`;
}

function denyOf({ role_arn: roleArn, deny }: Role): string[] {
  const on = `on ${plainText(String(roleArn))}`;
  switch (deny?.state) {
    case 'put':
      return [
        `Denied ${on}: IAM took that by ${plainText(String(deny.put_at))}; AWS spreads it within seconds, and promises no moment.`,
      ];
    case 'wanted':
      return [`They will be denied ${on}: ask again in some seconds.`];
    case 'failed':
      return [
        `They could not be denied ${on} by ${plainText(String(deny.failed_at))}: it is tried again, and the log says why.`,
      ];
    default:
      return [];
  }
}
