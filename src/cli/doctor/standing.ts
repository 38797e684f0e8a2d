/** What the broker says of an agent, judged: whether anything is minted for it, and what. */
import type { OwnAgent } from '../../sdk/who-am-i.ts';
import { type Finding, failed, ok, warning } from './hop.ts';

type Named = { name?: unknown; stopped_by?: unknown; approval?: unknown; use?: unknown };

type Entry = { id?: unknown; target?: { kind?: unknown; id?: unknown }; at?: unknown };

function entriesOf(value: unknown): Entry[] {
  return Array.isArray(value) ? value : [];
}

function told({ id, target, at }: Entry): string {
  const named = [target?.kind, target?.id].filter((part) => part !== undefined).join(' ');
  return `${id} (${named}, ${at})`;
}

/** Whether it is a quarantine or a kill is for operators to know. */
function releaseOf({ id, target }: Entry): string {
  const kill = `mayfly release ${id}`;
  return target?.kind === 'agent' ? `mayfly agent release ${target.id}, or of a kill ${kill}` : kill;
}

function releasesOf(entries: readonly Entry[]): string {
  return `Operators see why, and can release it: ${[...new Set(entries.map(releaseOf))].join('; ')}`;
}

export function judgeStop({ stopped_by: stoppedBy }: OwnAgent): Finding {
  const entries = entriesOf(stoppedBy);
  if (entries.length === 0) return ok('Nothing stops it.');
  const by = entries.map(told).join('; ');
  return failed(`It is stopped, and nothing is minted for it: ${by}.`, releasesOf(entries));
}

export function judgeCatalogue({ catalogue }: OwnAgent): Finding {
  const { applied, digest } = (catalogue ?? {}) as { applied?: unknown; digest?: unknown };
  if (applied === true) return ok(`The scopes/ of this broker are the applied ones (${digest}).`);
  return failed(
    'The scopes/ of this broker are not the applied ones, so it mints nothing for agents.',
    'As the owner of the database: mayfly scopes apply; then give every broker the same files, and restart it.',
  );
}

export function judgeActions(me: OwnAgent, wanted: readonly string[]): Finding {
  const all: Named[] = Array.isArray(me.actions) ? me.actions : [];
  const chosen = wanted.length === 0 ? all : all.filter(({ name }) => wanted.includes(String(name)));
  const absent = wanted.filter((name) => !all.some((action) => action.name === name));
  const granted = all.map(({ name }) => name).join(' ') || 'nothing';
  if (absent.length > 0) {
    return failed(
      `It may not ask for ${absent.join(' ')}. It may ask for ${granted}.`,
      `Propose a change of scopes/agents/${me.name}.yaml${me.owner ? ` to its owner, ${me.owner}` : ''}: mayfly scopes check, diff, apply`,
    );
  }
  const stopped = chosen.filter((action) => entriesOf(action.stopped_by).length > 0);
  const approved = chosen.filter(({ approval }) => approval !== 'none' && wanted.length > 0);
  if (stopped.length > 0) return partly(stopped, wanted.length > 0);
  if (approved.length > 0) {
    return failed(
      `A person has to approve each use of ${approved.map(({ name }) => name).join(' ')}, and there are no approvals yet.`,
      'Use another action.',
    );
  }
  return ok(`It may ask for ${chosen.map(inWords).join(', ') || 'nothing'}.`);
}

function partly(stopped: readonly Named[], isAsked: boolean): Finding {
  const entries = stopped.flatMap(({ stopped_by: by }) => entriesOf(by));
  const names = stopped.map(({ name }) => name).join(' ');
  const by = [...new Set(entries.map(told))].join('; ');
  const finding = isAsked ? failed : warning;
  return finding(`Nothing is minted for ${names}: ${by}.`, releasesOf(entries));
}

function inWords({ name, use }: Named): string {
  return use === 'request' ? `${name} (for one call at a time)` : String(name);
}
