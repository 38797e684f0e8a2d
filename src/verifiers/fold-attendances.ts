/**
 * A verifier has several questions under way at once, to be sure of an answer; two of them may meet in one batch, and
 * a statement cannot write one row twice.
 */
import { longestLeaseSeconds } from './lease-lengths.ts';
import type { ReceivedQuestion } from './question.ts';
import type { Attendance } from './verifier-store.ts';

export function foldAttendances(asked: readonly ReceivedQuestion[]): {
  attendances: Attendance[];
  /** Which of them speaks for this question; null when its instance is another resource's in this very batch. */
  attendanceOf: (asked: ReceivedQuestion) => number | null;
} {
  const places = new Map<string, number>();
  const attendances: Attendance[] = [];
  for (const each of asked) {
    const next = attendanceIn(each);
    const place = places.get(next.instance);
    const known = place === undefined ? undefined : attendances[place];
    if (place === undefined || known === undefined) {
      places.set(next.instance, attendances.push(next) - 1);
    } else if (known.resource === next.resource) {
      attendances[place] = together(known, next);
    }
  }
  return {
    attendances,
    attendanceOf({ question, resource }) {
      const place = places.get(question.instance);
      return place !== undefined && attendances[place]?.resource === resource.audience ? place : null;
    },
  };
}

function attendanceIn({ question, resource }: ReceivedQuestion): Attendance {
  return {
    instance: question.instance,
    resource: resource.audience,
    generation: question.generation,
    appliedEpoch: question.applied_epoch,
    digest: question.digest,
    leaseSeconds: longestLeaseSeconds(question.sensitivities),
    leaving: question.leaving === true,
  };
}

/** The later of the two, and whatever either may have been granted. */
function together(one: Attendance, other: Attendance): Attendance {
  const isLater =
    one.generation === other.generation
      ? one.appliedEpoch > other.appliedEpoch
      : one.generation > other.generation;
  return {
    ...(isLater ? one : other),
    leaseSeconds: Math.max(one.leaseSeconds, other.leaseSeconds),
    leaving: one.leaving || other.leaving,
  };
}
