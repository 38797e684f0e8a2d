/**
 * How much one caller may cost. Four things are counted, each in constant time and bounded memory:
 *
 *   requests               by source                  before anything is read
 *   failed authentication  by source, by client       before a signature is checked
 *   mints                  by authenticated client    before the database is asked
 *   revocations of its own by authenticated client    before the ledger has an entry more (L2)
 *
 * A client's name can be written down by anybody, so what fails under a name must not shut out its owner. When
 * the failures in a client's name are used up, whoever authenticated as that client lately still gets in, from the
 * addresses that it did so from, and so does an address that has hardly failed yet; only addresses that keep
 * failing are turned away. The bound spares the processor: no number of tries guesses a key.
 */
import { createRecent } from '../bounds/recent.ts';
import { refuse } from '../errors/refusal.ts';
import type { Clock } from '../time/clock.ts';
import type { Source } from './source.ts';
import { createBuckets, type Rate } from './token-bucket.ts';

export type RateLimits = {
  sourceRequests: Rate;
  sourceFailures: Rate;
  /** For one client, and again for each pair of a client and an address that it authenticated from. */
  clientFailures: Rate;
  clientMints: Rate;
  /** Entries in the ledger by one client: every verifier reads each of them, and a kill waits behind them. */
  clientRevocations: Rate;
  /** Failures by which an address stops being one that has hardly failed. */
  newcomerFailures: number;
  /** How long an address counts as one that a client authenticated from. */
  acquaintanceMilliseconds: number;
  maxSources: number;
  maxClients: number;
};

export const RATE_LIMITS: Readonly<RateLimits> = Object.freeze({
  sourceRequests: { perSecond: 5_000, burst: 10_000 },
  sourceFailures: { perSecond: 200, burst: 3_000 },
  clientFailures: { perSecond: 200, burst: 3_000 },
  clientMints: { perSecond: 1_000, burst: 5_000 },
  clientRevocations: { perSecond: 20, burst: 500 },
  newcomerFailures: 5,
  acquaintanceMilliseconds: 86_400_000,
  maxSources: 100_000,
  maxClients: 20_000,
});

/** Bursts grow and shrink with the rates: as many seconds' worth at once as the defaults allow. */
export function rateLimitsFor(rates: {
  perSource: number;
  perClient: number;
  failures: number;
}): Partial<RateLimits> {
  const rate = (perSecond: number, usual: Rate): Rate => ({
    perSecond,
    burst: Math.ceil(perSecond * (usual.burst / usual.perSecond)),
  });
  return {
    sourceRequests: rate(rates.perSource, RATE_LIMITS.sourceRequests),
    sourceFailures: rate(rates.failures, RATE_LIMITS.sourceFailures),
    clientFailures: rate(rates.failures, RATE_LIMITS.clientFailures),
    clientMints: rate(rates.perClient, RATE_LIMITS.clientMints),
  };
}

/** All of them throw a Refusal `rate_limited` with `Retry-After` when a bound is exceeded, or return nothing. */
export type RequestBounds = {
  admit(source: Source): void;
  /** @param clientId as claimed, not yet proved; null when the claim names nobody */
  admitClient(clientId: string | null, source: Source): void;
  /** An authentication failed. Never throws. */
  failed(clientId: string | null, source: Source): void;
  /** A client proved who it is. Never throws. */
  succeeded(clientId: string, source: Source): void;
  admitMint(clientId: string): void;
  admitRevocation(clientId: string): void;
};

export function createRequestBounds(options: { clock: Clock; limits?: Partial<RateLimits> }): RequestBounds {
  const { clock } = options;
  const limits: RateLimits = { ...RATE_LIMITS, ...options.limits };
  const { maxSources, maxClients } = limits;
  const requests = createBuckets({ rate: limits.sourceRequests, maxEntries: maxSources, clock });
  const failuresOfSource = createBuckets({ rate: limits.sourceFailures, maxEntries: maxSources, clock });
  const failuresOfClient = createBuckets({ rate: limits.clientFailures, maxEntries: maxClients, clock });
  const failuresOfPair = createBuckets({ rate: limits.clientFailures, maxEntries: maxClients, clock });
  const mints = createBuckets({ rate: limits.clientMints, maxEntries: maxClients, clock });
  const revocations = createBuckets({ rate: limits.clientRevocations, maxEntries: maxClients, clock });
  const acquaintances = createRecent<{ until: number }>(maxClients);

  function isAcquainted(pair: string): boolean {
    const acquaintance = acquaintances.get(pair);
    return acquaintance !== undefined && acquaintance.until > clock.monotonicMilliseconds();
  }

  /** How long a client has to wait in whose name there were too many failures. */
  function waitOfClient(clientId: string, network: string): number {
    const wait = failuresOfClient.wait(clientId);
    if (wait === 0 || failuresOfSource.missing(network) < limits.newcomerFailures) return 0;
    return wait;
  }

  return {
    admit({ network }) {
      const wait = requests.take(network);
      if (wait > 0) refuseFor('source_rate', wait);
    },

    admitClient(clientId, { network }) {
      if (clientId !== null && isAcquainted(pairOf(clientId, network))) {
        const wait = failuresOfPair.wait(pairOf(clientId, network));
        if (wait > 0) refuseFor('client_rate', wait);
        return;
      }
      const waitOfSource = failuresOfSource.wait(network);
      if (waitOfSource > 0) refuseFor('source_rate', waitOfSource);
      const wait = clientId === null ? 0 : waitOfClient(clientId, network);
      if (wait > 0) refuseFor('client_rate', wait);
    },

    failed(clientId, { network }) {
      failuresOfSource.take(network);
      if (clientId === null) return;
      const pair = pairOf(clientId, network);
      if (isAcquainted(pair)) failuresOfPair.take(pair);
      else failuresOfClient.take(clientId);
    },

    succeeded(clientId, { network }) {
      const pair = pairOf(clientId, network);
      const until = clock.monotonicMilliseconds() + limits.acquaintanceMilliseconds;
      const known = acquaintances.get(pair);
      if (known === undefined) acquaintances.set(pair, { until });
      else known.until = until;
    },

    admitMint(clientId) {
      const wait = mints.take(clientId);
      if (wait > 0) refuseFor('client_rate', wait);
    },

    admitRevocation(clientId) {
      const wait = revocations.take(clientId);
      if (wait > 0) refuseFor('client_rate', wait);
    },
  };
}

/** A network has no line feed in it, so no two pairs are spelled alike. */
function pairOf(clientId: string, network: string): string {
  return `${network}\n${clientId}`;
}

function refuseFor(reason: 'source_rate' | 'client_rate', milliseconds: number): never {
  return refuse(reason, { headers: { 'Retry-After': String(Math.max(1, Math.ceil(milliseconds / 1_000))) } });
}
