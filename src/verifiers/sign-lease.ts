import type { ActiveCatalogue } from '../catalogue/active-catalogue.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { encodeHeader, signCompactJws } from '../jws/compact-jws.ts';
import { LEASE_TYPE, type Lease, type Sensitivity } from '../revocations/ledger-message.ts';
import type { Signer } from '../signing-keys/signers.ts';
import { type Clock, numericDate } from '../time/clock.ts';
import type { Drills } from './drills.ts';
import type { FleetPace } from './hurry.ts';
import { LEASE_SECONDS } from './lease-lengths.ts';
import type { GrantedLease } from './renew-leases.ts';

/** The answer to one question: a compact JWS that repeats its instance and nonce. */
export type LeaseSigner = (granted: GrantedLease) => string;

export function createLeaseSigner(options: {
  issuer: string;
  /** Of ledger messages, never of tokens (L11). */
  signer: () => Signer;
  catalogue: Pick<ActiveCatalogue, 'catalogue' | 'applied'>;
  drills: Drills;
  pace: Pick<FleetPace, 'hurry'>;
  clock: Clock;
}): LeaseSigner {
  const { issuer, signer, catalogue, drills, pace, clock } = options;
  let header = { kid: '', encoded: '' }; // the same for a day

  /** What the applied catalogue says of the resource's actions, if the verifier does not know that version. */
  function newsOf(version: number | undefined, audience: string): Lease['catalogue'] {
    const applied = catalogue.applied();
    if (applied === null || applied.version === version) return undefined;
    return { version: applied.version, actions: sensitivitiesOf(catalogue.catalogue, audience) };
  }

  return ({ question, resource: { audience }, page }) => {
    const news = newsOf(question.catalogue, audience);
    const canaries = drills.drillsFor(audience);
    const lease: Lease = {
      iss: issuer,
      iat: numericDate(clock),
      instance: question.instance,
      nonce: question.nonce,
      page,
      leases: LEASE_SECONDS,
      hurry: pace.hurry(),
      ...(news === undefined ? {} : { catalogue: news }),
      ...(canaries.length === 0 ? {} : { drills: [...canaries] }),
    };
    const { kid, privateKey } = signer();
    if (header.kid !== kid) header = { kid, encoded: encodeHeader({ alg: 'EdDSA', typ: LEASE_TYPE, kid }) };
    return signCompactJws(header.encoded, lease, privateKey);
  };
}

function sensitivitiesOf({ resources, actions }: Catalogue, audience: string): Record<string, Sensitivity> {
  const names = resources.get(audience)?.actions ?? [];
  return Object.fromEntries(names.map((name) => [name, actions.get(name)?.sensitivity ?? 'HIGH']));
}
