/** Agents: who may act, as whom, for how long, and what each may ask for. */
import type { Agent, Catalogue } from './catalogue.ts';
import { type NamedChange, partition, type Versions } from './catalogue-change.ts';
import { compareKeys, type KeyChange } from './compare-keys.ts';

export function compareAgents(versions: Versions): NamedChange[] {
  const { removed, added, kept } = partition(versions.before.agents, versions.after.agents);
  return [
    ...removed.flatMap((agent) => [
      agentRemoved(agent),
      ...grantChanges({ ...agent, may: [] }, agent, versions),
    ]),
    ...added.flatMap((agent) => [agentAdded(agent), ...grantChanges(agent, { ...agent, may: [] }, versions)]),
    ...kept.flatMap(({ before, after }) => [
      ...changesOfAgent({ before, after }),
      ...grantChanges(after, before, versions),
    ]),
  ];
}

function agentAdded({ name, title, owner, zone }: Agent): NamedChange {
  const sentence = `The agent ${name} (${title}; owner ${owner}) is new, in zone ${zone}.`;
  return change('agent-added', name, sentence);
}

function agentRemoved({ name, title }: Agent): NamedChange {
  return change('agent-removed', name, `The agent ${name} (${title}) is gone; nobody can act as it.`);
}

function grantChanges(after: Agent, before: Agent, versions: Versions): NamedChange[] {
  const gained = after.may.filter((action) => !before.may.includes(action));
  const lost = before.may.filter((action) => !after.may.includes(action));
  return [
    ...gained.map((action) => grant('grant-added', after.name, action, versions.after)),
    ...lost.map((action) => grant('grant-removed', after.name, action, versions.before)),
  ];
}

function grant(
  kind: 'grant-added' | 'grant-removed',
  agent: string,
  action: string,
  catalogue: Catalogue,
): NamedChange {
  const known = catalogue.actions.get(action);
  const about = known === undefined ? '' : ` (${known.title}; ${known.sensitivity}, ${known.effect})`;
  const verb = kind === 'grant-added' ? 'gains' : 'loses';
  return { ...change(kind, agent, `${agent} ${verb} ${action}${about}.`), action };
}

function changesOfAgent({ before, after }: Versions<Agent>): NamedChange[] {
  const { name } = after;
  const changes = compareKeys({ before: before.keys, after: after.keys }).map((key) => keyChange(key, name));
  if (before.title !== after.title) {
    const sentence = `${name} is now described as "${after.title}", before "${before.title}".`;
    changes.push(change('agent-retitled', name, sentence));
  }
  if (before.owner !== after.owner) {
    const sentence = `${after.owner} now answers for ${name}, before ${before.owner}.`;
    changes.push(change('agent-owner-changed', name, sentence));
  }
  if (before.zone !== after.zone) {
    const sentence = `${name} moves from zone ${before.zone} to ${after.zone}: it can be granted what that zone may reach.`;
    changes.push(change('agent-moved', name, sentence));
  }
  return [...changes, ...sessionChanges({ before, after }), ...developmentChanges({ before, after })];
}

function sessionChanges({ before, after }: Versions<Agent>): NamedChange[] {
  if (before.sessionSeconds === after.sessionSeconds) return [];
  const isLonger = after.sessionSeconds > before.sessionSeconds;
  const sentence = `A session of ${after.name} may live ${after.sessionSeconds} s, before ${before.sessionSeconds} s.`;
  return [change(isLonger ? 'session-lengthened' : 'session-shortened', after.name, sentence)];
}

function developmentChanges({ before, after }: Versions<Agent>): NamedChange[] {
  if (before.developmentKey === after.developmentKey) return [];
  const isOn = after.developmentKey;
  const sentence = isOn
    ? `Whoever can read a broker's data folder may act as ${after.name}, with the key that the broker makes for a trial.`
    : `Nobody can act as ${after.name} any more with a key that a broker makes for a trial.`;
  return [change(`agent-development-key-${isOn ? 'on' : 'off'}`, after.name, sentence)];
}

const KEY_SENTENCES = {
  'key-added': 'Whoever holds the new key %s may act as',
  'key-removed': 'Whoever holds the key %s can no longer act as',
  'key-relabelled': 'A key is now labelled %s at',
} as const;

function keyChange({ change: what, key }: KeyChange, agent: string): NamedChange {
  return { ...change(`agent-${what}`, agent, `${KEY_SENTENCES[what].replace('%s', key)} ${agent}.`), key };
}

function change(kind: NamedChange['kind'], agent: string, sentence: string): NamedChange {
  return { kind, agent, sentence };
}
