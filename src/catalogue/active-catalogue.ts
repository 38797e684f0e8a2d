/**
 * This broker's files against the one version that all brokers have to agree on (L24). While they differ the
 * broker mints nothing and says so; the mint's statement asks again in its own snapshot.
 */

import type { Log } from '../errors/log.ts';
import type { Catalogue } from './catalogue.ts';
import type { AppliedCatalogue, CatalogueStore } from './catalogue-store.ts';

export type ActiveCatalogue = {
  /** From this broker's files. */
  readonly catalogue: Catalogue;
  /** The database's version when it is the one of these files, else null. */
  applied(): AppliedCatalogue | null;
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
  let lastSeen: string | null = null;

  async function refresh(): Promise<void> {
    const latest = await store.readApplied();
    applied = latest?.digest === catalogue.digest ? latest : null;
    const seen = `${latest?.version ?? 'none'}`;
    if (seen === lastSeen) return;
    lastSeen = seen;
    const versions = {
      files: catalogue.digest,
      applied: latest?.digest ?? null,
      version: latest?.version ?? null,
    };
    if (applied !== null) log.info(versions, 'the catalogue of these files is the applied one');
    else log.error(versions, 'the catalogue of these files is not the applied one: nothing is minted here');
  }

  await refresh();
  return { catalogue, applied: () => applied, refresh };
}
