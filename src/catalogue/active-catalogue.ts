/**
 * This broker's files against the one version that all brokers have to agree on (L24). While they differ the
 * broker mints nothing for agents and says so; the mint's statement asks again in its own snapshot.
 *
 * Operators go on: between `scopes apply` and the last broker's restart nobody may be locked out of the kill switch.
 * One whom the applied version declares with the same roles and keys as these files is let in under that version. A
 * version never changes, so what was compared once holds in whichever snapshot that version is the active one.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../errors/log.ts';
import { isJsonObject } from '../json/strict-json.ts';
import type { Catalogue, DeclaredOperator } from './catalogue.ts';
import type { AppliedCatalogue, CatalogueStore } from './catalogue-store.ts';

export type ActiveCatalogue = {
  /** From this broker's files. */
  readonly catalogue: Catalogue;
  /** The database's version when it is the one of these files, else null. */
  applied(): AppliedCatalogue | null;
  /** The database's version when it declares this operator as these files do, whatever else it says; else null. */
  appliedFor(operator: string): AppliedCatalogue | null;
  /** Looks at the database again. */
  refresh(): Promise<void>;
};

export async function followCatalogue(options: {
  catalogue: Catalogue;
  store: CatalogueStore;
  log: Log;
}): Promise<ActiveCatalogue> {
  const { catalogue, store, log } = options;
  let applied: AppliedCatalogue | null = null;
  /** A version of other files, and who is in it as in ours. */
  let other: { applied: AppliedCatalogue; operators: ReadonlySet<string> } | null = null;
  let lastSeen: string | null = null;

  async function compareOperators(latest: AppliedCatalogue): Promise<typeof other> {
    const known = other?.applied.version === latest.version ? other : null;
    const operators =
      known?.operators ?? sharedOperators(catalogue, await store.readOperators(latest.version));
    return { applied: latest, operators };
  }

  async function refresh(): Promise<void> {
    const latest = await store.readApplied();
    const differs = latest !== null && latest.digest !== catalogue.digest;
    const compared = differs ? await compareOperators(latest) : null;
    applied = differs ? null : latest;
    other = compared;
    const seen = `${latest?.version ?? 'none'}`;
    if (seen === lastSeen) return;
    lastSeen = seen;
    const versions = {
      files: catalogue.digest,
      applied: latest?.digest ?? null,
      version: latest?.version ?? null,
    };
    if (applied !== null) log.info(versions, 'the catalogue of these files is the applied one');
    else
      log.error(versions, 'the catalogue of these files is not the applied one: no agent gets a token here');
  }

  await refresh();
  return {
    catalogue,
    applied: () => applied,
    appliedFor: (operator) => applied ?? (other?.operators.has(operator) ? other.applied : null),
    refresh,
  };
}

/** By what an operator may do and is known by; a title is no authority. */
function sharedOperators(ours: Catalogue, theirs: readonly unknown[]): ReadonlySet<string> {
  const authorityOf = ({ name, roles, keys, developmentKey }: Partial<DeclaredOperator>) => ({
    name,
    roles,
    keys,
    developmentKey,
  });
  const declared = theirs.filter(isJsonObject).map((operator) => authorityOf(operator));
  const shared = [...ours.operators.values()].filter((operator) =>
    declared.some((each) => isDeepStrictEqual(each, authorityOf(operator))),
  );
  return new Set(shared.map(({ name }) => name));
}
