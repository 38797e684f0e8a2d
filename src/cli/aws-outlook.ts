/** What people are told of AWS credentials that are out: the one thing that a kill cannot call back. */
import { plainText } from './plain-text.ts';

type Stated = { credentials?: unknown; live_until?: unknown; unlisted_live_until?: unknown };

/** @returns null when nothing is out, or nothing is said of it */
export function awsOutlook(aws: unknown): string | null {
  const { credentials, live_until: until, unlisted_live_until: unlisted } = (aws ?? {}) as Stated;
  const known =
    typeof until === 'string' && Number(credentials) > 0
      ? [
          `AWS takes ${setsOf(Number(credentials))} that were given before, the last until ${plainText(until)}.`,
        ]
      : [];
  const forgotten =
    typeof unlisted === 'string'
      ? [`Credentials that the database has forgotten end by ${plainText(unlisted)}.`]
      : [];
  const lines = [...known, ...forgotten];
  return lines.length === 0 ? null : lines.join(' ');
}

function setsOf(count: number): string {
  return count === 1 ? 'at most one set of credentials' : `at most ${count} sets of credentials`;
}
