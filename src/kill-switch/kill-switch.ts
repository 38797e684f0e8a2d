/**
 * Stops at once what an agent, a zone, an action, a resource, a person behind tokens, or everything is doing, and
 * keeps it stopped until somebody else releases it. One entry in the ledger does it: nothing is enumerated, so it
 * costs the same whatever it hits, and it is on its way to every enforcement point with the commit.
 *
 * What is engaged stays engaged if everything after the commit fails: then the answer is late, not the kill. Sent
 * again it finds what stands. Tokens of before stay dead after the release; agents get new ones.
 */
import type { Catalogue } from '../catalogue/catalogue.ts';
import { didYouMean } from '../errors/nearest-name.ts';
import { refuse } from '../errors/refusal.ts';
import type { ReachStore } from '../revocations/reach-store.ts';
import type { SettledEntry } from '../revocations/receipt.ts';
import type { Receipts } from '../revocations/receipts.ts';
import type { KillSwitchStore, SwitchChange, SwitchRow } from './kill-switch-store.ts';
import { agentsStopped, type KillTarget } from './kill-target.ts';

export type Engaged = {
  /** `none` when it stood before. Of a request that is sent again what it was the first time. */
  effect: 'engaged' | 'none';
  switch: SwitchRow;
  settled: SettledEntry;
};

export type Released = { effect: 'released' | 'none'; switch: SwitchRow; settled: SettledEntry };

export type KillSwitch = {
  /** @throws {Refusal} `kill_target_unknown`, `idempotency_key_of_another_request` */
  engage(order: {
    target: KillTarget;
    waitSeconds: number;
    change: SwitchChange;
    signal: AbortSignal;
  }): Promise<Engaged>;
  /** @throws {Refusal} `kill_switch_not_found`, `own_kill_switch`, `idempotency_key_of_another_request` */
  release(order: { id: string; change: SwitchChange; signal: AbortSignal }): Promise<Released>;
  /** What engaging would hit now. @throws {Refusal} `kill_target_unknown` */
  preview(target: KillTarget): Promise<{ agents: number; sessions: number; liveTokens: number }>;
  /** @throws {Refusal} `kill_switch_not_found` */
  find(id: string): Promise<SwitchRow>;
  /** How far enforcement points are now. @throws {Refusal} `kill_switch_not_found` */
  stateOf(id: string): Promise<SettledEntry>;
  /** The same of any entry of the ledger. @throws {Refusal} `kill_switch_not_found` */
  stateOfEntry(id: string): Promise<SettledEntry>;
};

/** Nothing is stopped by it, so nobody says how long to wait. */
const RELEASE_WAIT_MILLISECONDS = 1_000;

export function createKillSwitch(options: {
  store: KillSwitchStore;
  receipts: Pick<Receipts, 'settle'>;
  /** For who only reads how far it is. */
  stateOf: Receipts['stateOf'];
  reach: ReachStore;
  catalogue: Catalogue;
  /** Tells verifiers that there is news. */
  announce: () => void;
}): KillSwitch {
  const { store, receipts, reach, catalogue, announce } = options;

  async function find(id: string): Promise<SwitchRow> {
    return (await store.find(id)) ?? refuse('kill_switch_not_found');
  }

  async function stateOfEntry(id: string): Promise<SettledEntry> {
    return (await options.stateOf(id)) ?? refuse('kill_switch_not_found');
  }

  return {
    find,

    async engage({ target, waitSeconds, change, signal }) {
      const engaged = await store.engage(target, change);
      if (engaged.outcome === 'unknown_target') refuseUnknown(target, catalogue);
      if (engaged.outcome === 'other_request') refuseOtherRequest();
      announce();
      const { id, epoch, replicated, outcome } = engaged;
      const settled = await receipts.settle(epoch, {
        // Of an entry that stood before this commit says nothing, for it may have written nothing.
        replicated: outcome === 'engaged' ? replicated : null,
        withinMilliseconds: waitSeconds * 1_000,
        signal,
      });
      const isItsDoing = outcome === 'engaged' || outcome === 'engaged_before';
      return { effect: isItsDoing ? 'engaged' : 'none', switch: await find(id), settled };
    },

    async release({ id, change, signal }) {
      const released = await store.release(id, change);
      if (released.outcome === 'unknown') refuse('kill_switch_not_found');
      if (released.outcome === 'own') {
        refuse('own_kill_switch', { hint: 'Another operator with the role admin or security has to.' });
      }
      if (released.outcome === 'other_request') refuseOtherRequest();
      announce();
      const { epoch, replicated, outcome } = released;
      const settled = await receipts.settle(epoch, {
        replicated: outcome === 'released' ? replicated : null,
        withinMilliseconds: RELEASE_WAIT_MILLISECONDS,
        signal,
      });
      return { effect: outcome === 'released_before' ? 'none' : 'released', switch: await find(id), settled };
    },

    async preview(target) {
      if (!(await store.isTarget(target))) refuseUnknown(target, catalogue);
      return { agents: agentsStopped(target, catalogue), ...(await reach.count(target)) };
    },

    stateOf: async (id) => stateOfEntry((await find(id)).id),
    stateOfEntry,
  };
}

/** Misspelt, mostly: then the nearest name of its kind helps. */
function refuseUnknown(target: KillTarget, catalogue: Catalogue): never {
  const meant = 'id' in target ? didYouMean(target.id, namesOf(target.kind, catalogue)) : '';
  return refuse('kill_target_unknown', {
    hint: `${meant}The target names nothing in the applied catalogue; everything is the kind all, without a name.`,
  });
}

function namesOf(kind: KillTarget['kind'], catalogue: Catalogue): string[] {
  const { zones, agents, operators, actions, resources } = catalogue;
  if (kind === 'agent') return [...agents.keys(), ...operators.keys()];
  const declared = { zone: zones, action: actions, resource: resources, all: null, subject: null }[kind];
  return [...(declared?.keys() ?? [])];
}

function refuseOtherRequest(): never {
  return refuse('idempotency_key_of_another_request', {
    hint: 'Use a new Idempotency-Key for a new request.',
  });
}
