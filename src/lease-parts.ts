/** Leases of a running broker: questions, answers, and the pace of the fleet. */

import type { CapabilityOptions } from './capabilities.ts';
import { createFleetPace } from './verifiers/hurry.ts';
import { createLeaseRoutes, type LeaseRoutes } from './verifiers/lease-routes.ts';
import { createLeaseRenewals, createPace } from './verifiers/renew-leases.ts';
import { createLeaseSigner } from './verifiers/sign-lease.ts';
import { createVerifierStore } from './verifiers/verifier-store.ts';

export function buildLeaseRoutes(options: CapabilityOptions): LeaseRoutes {
  const { configuration, catalogue, clients, bounds, database, ledger, ring, clock } = options;
  const { issuer } = configuration;
  const drills = options.drills.watch;
  const pace = createFleetPace({ clock });
  return createLeaseRoutes({
    issuer,
    clients: () => clients,
    bounds,
    renewals: createLeaseRenewals({
      store: createVerifierStore(database.ledgerPool),
      readPages: ledger.store.readPages,
      trust: ledger.trust,
      head: ledger.follower.head,
      gather: createPace(clock),
    }),
    sign: createLeaseSigner({ issuer, signer: ring.ledgerSigner, catalogue, drills, pace, clock }),
    drills,
    pace,
    clock,
  });
}
