/** Resource servers. A new one gives nobody anything until an agent is granted an action of it. */
import type { Resource } from './catalogue.ts';
import { type NamedChange, partition, type Versions } from './catalogue-change.ts';
import { compareKeys, type KeyChange } from './compare-keys.ts';

export function compareResources({ before, after }: Versions): NamedChange[] {
  const { removed, added, kept } = partition(before.resources, after.resources);
  return [
    ...removed.map(({ audience, title }) =>
      change('resource-removed', audience, `The resource ${audience} (${title}) is gone.`),
    ),
    ...added.map(({ audience, title, zone }) =>
      change('resource-added', audience, `The resource ${audience} (${title}) is new, in zone ${zone}.`),
    ),
    ...kept.flatMap(changesOfResource),
  ];
}

function changesOfResource({ before, after }: Versions<Resource>): NamedChange[] {
  const { audience } = after;
  const changes = compareKeys({ before: before.keys, after: after.keys }).map((key) =>
    keyChange(key, audience),
  );
  if (before.title !== after.title) {
    const sentence = `The resource ${audience} is now called "${after.title}", before "${before.title}".`;
    changes.push(change('resource-retitled', audience, sentence));
  }
  if (before.zone !== after.zone) {
    const sentence = `The resource ${audience} moves from zone ${before.zone} to ${after.zone}: other agents can be granted its actions.`;
    changes.push(change('resource-moved', audience, sentence));
  }
  if (before.developmentKey !== after.developmentKey) {
    const isOn = after.developmentKey;
    const sentence = isOn
      ? `The resource ${audience} may now authenticate with a key that a broker makes for a trial.`
      : `The resource ${audience} can no longer authenticate with a key that a broker makes for a trial.`;
    changes.push(change(`resource-development-key-${isOn ? 'on' : 'off'}`, audience, sentence));
  }
  if (before.developmentPath !== after.developmentPath) {
    const sentence = `The sample resource server plays ${audience} at ${after.developmentPath ?? 'no path'}, before at ${before.developmentPath ?? 'no path'}.`;
    changes.push(change('resource-development-path-changed', audience, sentence));
  }
  return changes;
}

const KEY_SENTENCES = {
  'key-added': 'Whoever holds the new key %s may act as the resource',
  'key-removed': 'Whoever holds the key %s can no longer act as the resource',
  'key-relabelled': 'A key is now labelled %s at the resource',
} as const;

function keyChange({ change: what, key }: KeyChange, audience: string): NamedChange {
  const sentence = `${KEY_SENTENCES[what].replace('%s', key)} ${audience}.`;
  return { ...change(`resource-${what}`, audience, sentence), key };
}

function change(kind: NamedChange['kind'], resource: string, sentence: string): NamedChange {
  return { kind, resource, sentence };
}
