/** Zones: who may reach whom. Reach grants nothing by itself, but it is the fence that a later grant needs open. */
import type { Zone } from './catalogue.ts';
import { type NamedChange, partition, type Versions } from './catalogue-change.ts';

export function compareZones({ before, after }: Versions): NamedChange[] {
  const { removed, added, kept } = partition(before.zones, after.zones);
  return [
    ...removed.map(
      ({ name }): NamedChange => ({
        kind: 'zone-removed',
        zone: name,
        sentence: `The zone ${name} is gone.`,
      }),
    ),
    ...added.map(zoneAdded),
    ...kept.flatMap(changesOfZone),
  ];
}

function zoneAdded({ name, title, mayCall }: Zone): NamedChange {
  const reach = mayCall.length === 0 ? 'no zone' : mayCall.join(', ');
  return {
    kind: 'zone-added',
    zone: name,
    sentence: `The zone ${name} (${title}) is new; agents in it may reach resources in ${reach}.`,
  };
}

function changesOfZone({ before, after }: Versions<Zone>): NamedChange[] {
  const zone = after.name;
  const changes: NamedChange[] = [];
  if (before.title !== after.title) {
    const sentence = `The zone ${zone} is now called "${after.title}", before "${before.title}".`;
    changes.push({ kind: 'zone-retitled', zone, sentence });
  }
  for (const target of after.mayCall.filter((name) => !before.mayCall.includes(name))) {
    const sentence = `Agents of zone ${zone} may now be granted actions of resources in zone ${target}.`;
    changes.push({ kind: 'zone-reach-added', zone, sentence });
  }
  for (const target of before.mayCall.filter((name) => !after.mayCall.includes(name))) {
    const sentence = `Agents of zone ${zone} can no longer reach resources in zone ${target}.`;
    changes.push({ kind: 'zone-reach-removed', zone, sentence });
  }
  return changes;
}
