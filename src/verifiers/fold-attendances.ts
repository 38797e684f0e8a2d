/**
 * A verifier has several questions under way at once, to be sure of an answer; two of them may meet in one batch, and
 * a statement cannot write one row twice. Questions of two resources are never one, whatever instance they name: whose
 * it is the register knows, or who is in its way would only have to ask first.
 */
import { longestLeaseSeconds } from './lease-lengths.ts';
import type { ReceivedQuestion } from './question.ts';
import type { Attendance } from './verifier-store.ts';

export function foldAttendances(asked: readonly ReceivedQuestion[]): {
  attendances: Attendance[];
  /** Which of them speaks for this question. */
  attendanceOf: (asked: ReceivedQuestion) => number | undefined;
} {
  const places = new Map<string, number>();
  const attendances: Attendance[] = [];
  for (const each of asked) {
    const next = attendanceIn(each);
    const name = nameOf(each);
    const place = places.get(name);
    const known = place === undefined ? undefined : attendances[place];
    if (place === undefined || known === undefined) places.set(name, attendances.push(next) - 1);
    else attendances[place] = together(known, next);
  }
  return { attendances, attendanceOf: (each) => places.get(nameOf(each)) };
}

/** An instance has no space in its name. */
function nameOf({ question, resource }: ReceivedQuestion): string {
  return `${question.instance} ${resource.audience}`;
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
