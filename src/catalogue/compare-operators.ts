/** Operators: which people may act at mayfly itself, in which roles, known by which keys. */
import type { DeclaredOperator } from './catalogue.ts';
import { type NamedChange, partition, type Versions } from './catalogue-change.ts';
import { compareKeys, type KeyChange } from './compare-keys.ts';
import { ROLE_MEANINGS, type Role } from './roles.ts';

export function compareOperators(versions: Versions): NamedChange[] {
  const { removed, added, kept } = partition(versions.before.operators, versions.after.operators);
  return [
    ...removed.flatMap((operator) => [
      change('operator-removed', operator.name, `The operator ${operator.name} (${operator.title}) is gone.`),
      ...roleChanges({ before: operator, after: { ...operator, roles: [] } }),
    ]),
    ...added.flatMap((operator) => [
      change('operator-added', operator.name, `The operator ${operator.name} (${operator.title}) is new.`),
      ...roleChanges({ before: { ...operator, roles: [] }, after: operator }),
    ]),
    ...kept.flatMap((both) => [...changesOfOperator(both), ...roleChanges(both)]),
  ];
}

function roleChanges({ before, after }: Versions<DeclaredOperator>): NamedChange[] {
  const { name } = after;
  const gained = after.roles.filter((role) => !before.roles.includes(role));
  const lost = before.roles.filter((role) => !after.roles.includes(role));
  return [
    ...gained.map((role) => roleChange('operator-role-added', name, role)),
    ...lost.map((role) => roleChange('operator-role-removed', name, role)),
  ];
}

function roleChange(
  kind: 'operator-role-added' | 'operator-role-removed',
  operator: string,
  role: Role,
): NamedChange {
  const verb = kind === 'operator-role-added' ? 'gains' : 'loses';
  const sentence = `${operator} ${verb} the role ${role} (${ROLE_MEANINGS[role]}).`;
  return { ...change(kind, operator, sentence), role };
}

function changesOfOperator({ before, after }: Versions<DeclaredOperator>): NamedChange[] {
  const { name } = after;
  const changes = compareKeys({ before: before.keys, after: after.keys }).map((key) => keyChange(key, name));
  if (before.title !== after.title) {
    const sentence = `${name} is now described as "${after.title}", before "${before.title}".`;
    changes.push(change('operator-retitled', name, sentence));
  }
  if (before.developmentKey !== after.developmentKey) {
    const isOn = after.developmentKey;
    const sentence = isOn
      ? `Whoever can read a broker's data folder may act as ${name}, with the key that the broker makes for a trial.`
      : `Nobody can act as ${name} any more with a key that a broker makes for a trial.`;
    changes.push(change(`operator-development-key-${isOn ? 'on' : 'off'}`, name, sentence));
  }
  return changes;
}

const KEY_SENTENCES = {
  'key-added': 'Whoever holds the new key %s may act as the operator',
  'key-removed': 'Whoever holds the key %s can no longer act as the operator',
  'key-relabelled': 'A key is now labelled %s at the operator',
} as const;

function keyChange({ change: what, key }: KeyChange, operator: string): NamedChange {
  const sentence = `${KEY_SENTENCES[what].replace('%s', key)} ${operator}.`;
  return { ...change(`operator-${what}`, operator, sentence), key };
}

function change(kind: NamedChange['kind'], operator: string, sentence: string): NamedChange {
  return { kind, operator, sentence };
}
