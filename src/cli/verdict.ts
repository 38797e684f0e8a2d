/** What a person at three in the morning wants to know: is it over? One line, before all the rest. */
import { awsOutlook } from './aws-outlook.ts';
import type { Json } from './operator-client.ts';

type Settled = {
  complete?: unknown;
  replicated?: unknown;
  verifiers?: unknown;
  unlisted_stop_at?: unknown;
  aws?: unknown;
};

/** @returns null for an answer that says nothing of enforcement points */
export function verdictOf(body: Json): string | null {
  if (body.effect === 'released' || (body.effect === 'none' && isReleased(body))) {
    return 'Released: agents get new tokens, unless something else stops them; what was stopped stays dead.';
  }
  return typeof body.complete === 'boolean'
    ? outlookOf(body, body.standing === false ? 'Revoked' : 'Stopped')
    : null;
}

/** @param done what has happened, in a word */
export function outlookOf(settled: Settled, done: 'Revoked' | 'Stopped'): string {
  const aws = awsOutlook(settled.aws);
  return aws === null ? enforcementOf(settled, done) : `${enforcementOf(settled, done)} ${aws}`;
}

function enforcementOf(settled: Settled, done: 'Revoked' | 'Stopped'): string {
  const standby =
    settled.replicated === false ? ' The standby did not confirm it: a failover now could lose it.' : '';
  const verifiers: Json[] = Array.isArray(settled.verifiers) ? settled.verifiers : [];
  const outstanding = verifiers.flatMap(({ stops_at }) => (typeof stops_at === 'string' ? [stops_at] : []));
  if (settled.complete === true) return `${done}: ${everywhere(verifiers.length)}${standby}`;
  const last = [settled.unlisted_stop_at, ...outstanding]
    .filter((at) => typeof at === 'string')
    .sort()
    .at(-1);
  const behind =
    outstanding.length === 0
      ? `all ${points(verifiers.length)} that are known have applied it or have stopped.`
      : `${outstanding.length} of ${points(verifiers.length)} did not say in time that they have applied it.`;
  const by =
    last === undefined ? '' : ` Whoever has not applied it stops by itself, the last by ${timeOf(last)}.`;
  return `Not yet proved: it is in force, and ${behind}${by}${standby}`;
}

function everywhere(count: number): string {
  if (count > 0) return `all ${points(count)} have applied it or have stopped.`;
  return (
    'no enforcement point holds a lease now. Servers that only introspect are not counted: brokers tell them so with ' +
    'their next question.'
  );
}

function points(count: number): string {
  return `${count} enforcement ${count === 1 ? 'point' : 'points'}`;
}

/** Of a switch, and of an entry that was one. */
function isReleased({ released, releases }: Json): boolean {
  return (released ?? releases ?? null) !== null;
}

/** `12:34:56Z`: nobody waits for days. */
function timeOf(moment: string): string {
  const [, time] = /T(\d\d:\d\d:\d\d)/.exec(moment) ?? [];
  return time === undefined ? moment : `${time}Z`;
}
