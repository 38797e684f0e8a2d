/**
 * The way of a request, hop by hop, from this machine to a token. Each hop looks at one thing that can be wrong, and
 * says what to do about it; a hop that stands on one that failed is not looked at, so that the first that failed is the
 * reason.
 */
import type { EXIT } from '../failure.ts';

export type Finding = {
  state: 'ok' | 'warning' | 'failed';
  says: string;
  /** What to do: a command where there is one. */
  fix?: string;
};

export type Looked = {
  hop: string;
  state: Finding['state'] | 'skipped';
  says: string;
  fix?: string;
};

export type Hop = {
  name: string;
  /** Hops that have to be good for this one to mean anything. */
  needs: readonly string[];
  /** How the command ends when this is the first that failed. */
  ends: keyof typeof EXIT;
  /** @returns null where there is nothing to look at */
  look(): Promise<Finding | null>;
};

export const ok = (says: string): Finding => ({ state: 'ok', says });
export const warning = (says: string, fix: string): Finding => ({ state: 'warning', says, fix });
export const failed = (says: string, fix: string): Finding => ({ state: 'failed', says, fix });

/**
 * Calls `tell` with each as soon as it was looked at.
 * @returns the first that failed
 */
export async function walk(hops: readonly Hop[], tell: (looked: Looked) => void): Promise<Hop | null> {
  /** By which hop it cannot be good. */
  const bad = new Map<string, string>();
  let first: Hop | null = null;
  for (const hop of hops) {
    const cause = hop.needs.map((name) => bad.get(name)).find((name) => name !== undefined);
    if (cause !== undefined) {
      tell({ hop: hop.name, state: 'skipped', says: `Not looked at: ${cause} is not good.` });
      bad.set(hop.name, cause);
      continue;
    }
    const finding = await hop.look();
    if (finding !== null) tell({ hop: hop.name, ...finding });
    if (finding?.state !== 'failed') continue;
    bad.set(hop.name, hop.name);
    first ??= hop;
  }
  return first;
}
