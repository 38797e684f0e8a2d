/**
 * The kinds of change that one version of the catalogue can make to another. A kind *widens* when it lets somebody
 * do more, for longer, with less asked, or lets somebody new act; and also when it cannot be shown not to.
 */
import type { Catalogue } from './catalogue.ts';

/** Every kind of change, and whether it widens. */
export const CHANGE_KINDS = {
  'zone-added': true,
  'zone-removed': false,
  'zone-retitled': false,
  'zone-reach-added': true,
  'zone-reach-removed': false,
  'resource-added': false,
  'resource-removed': false,
  'resource-retitled': false,
  'resource-moved': true,
  'resource-key-added': true,
  'resource-key-removed': false,
  'resource-key-relabelled': false,
  'resource-development-key-on': true,
  'resource-development-key-off': false,
  'resource-development-path-changed': false,
  'action-added': false,
  'action-removed': false,
  'action-retitled': false,
  'action-moved': true,
  'effect-changed': true,
  'sensitivity-lowered': true,
  'sensitivity-raised': false,
  'lifetime-lengthened': true,
  'lifetime-shortened': false,
  'use-widened': true,
  'use-narrowed': false,
  'approval-weakened': true,
  'approval-strengthened': false,
  'arguments-widened': true,
  'arguments-narrowed': false,
  'aws-added': true,
  'aws-removed': false,
  'aws-changed': true,
  'aws-narrowed': false,
  'agent-added': true,
  'agent-removed': false,
  'agent-retitled': false,
  'agent-moved': true,
  'agent-owner-changed': false,
  'agent-key-added': true,
  'agent-key-removed': false,
  'agent-key-relabelled': false,
  'agent-development-key-on': true,
  'agent-development-key-off': false,
  'session-lengthened': true,
  'session-shortened': false,
  'grant-added': true,
  'grant-removed': false,
  'operator-added': true,
  'operator-removed': false,
  'operator-retitled': false,
  'operator-role-added': true,
  'operator-role-removed': false,
  'operator-key-added': true,
  'operator-key-removed': false,
  'operator-key-relabelled': false,
  'operator-development-key-on': true,
  'operator-development-key-off': false,
} as const;

export type CatalogueChangeKind = keyof typeof CHANGE_KINDS;

/** One change. What it is about is named; `key` is a `kid`. */
export type CatalogueChange = {
  kind: CatalogueChangeKind;
  widens: boolean;
  /** Who gains or loses what, in plain words. */
  sentence: string;
  zone?: string;
  resource?: string;
  action?: string;
  agent?: string;
  operator?: string;
  role?: string;
  key?: string;
};

/** A change before it is known whether its kind widens. */
export type NamedChange = Omit<CatalogueChange, 'widens'>;

/** Both versions of what is compared. */
export type Versions<T = Catalogue> = { before: T; after: T };

/** Names in `before` and not in `after`, the other way round, and in both. */
export function partition<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
): { removed: T[]; added: T[]; kept: Versions<T>[] } {
  const removed = [...before].flatMap(([name, item]) => (after.has(name) ? [] : [item]));
  const added = [...after].flatMap(([name, item]) => (before.has(name) ? [] : [item]));
  const kept = [...after].flatMap(([name, item]) => {
    const earlier = before.get(name);
    return earlier === undefined ? [] : [{ before: earlier, after: item }];
  });
  return { removed, added, kept };
}
