/**
 * What one version of the catalogue gives and takes, compared with another, in plain words. Whoever reads only the
 * sentences that widen has read everything that needs a person's yes.
 */
import type { Catalogue } from './catalogue.ts';
import { type CatalogueChange, CHANGE_KINDS } from './catalogue-change.ts';
import { compareActions } from './compare-actions.ts';
import { compareAgents } from './compare-agents.ts';
import { compareOperators } from './compare-operators.ts';
import { compareResources } from './compare-resources.ts';
import { compareZones } from './compare-zones.ts';

/** Everything in which the two differ, apart from the names of files; empty when nothing does. */
export function compareCatalogues(before: Catalogue, after: Catalogue): CatalogueChange[] {
  const versions = { before, after };
  const changes = [
    ...compareZones(versions),
    ...compareResources(versions),
    ...compareActions(versions),
    ...compareAgents(versions),
    ...compareOperators(versions),
  ];
  return changes.map((change) => ({ ...change, widens: CHANGE_KINDS[change.kind] }));
}
