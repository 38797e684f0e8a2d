/** What a verifier is made with, checked whole before it is used: every mistake is told at once. */
import type { NoncePolicy } from '../dpop/proof-freshness.ts';
import { normaliseTarget } from '../dpop/target-url.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import { importKey, type ResourceKey } from './assertion.ts';
import { createProofMemory, type ProofMemory } from './proof-memory.ts';
import { RENEW_EVERY_MILLISECONDS } from './renewal.ts';
import { resourceMetadataUrl } from './resource-metadata.ts';
import type { SharedProofs } from './shared-proofs.ts';

export type VerifierOptions = {
  /** The broker's issuer, to the letter; https unless it is on this machine. */
  issuer: string;
  /** Where brokers of this issuer are found, if not at the issuer alone: one is asked until it fails. */
  brokers?: readonly string[];
  /** The audience that `scopes/resources/` declares for this server, to the letter. */
  resource: string;
  /** How this server authenticates to the broker. */
  key: ResourceKey;
  /**
   * Where clients find the root of this server: what comes before the path of a request in `htu`. An origin, and
   * the path prefix that a proxy takes away. Never derived from a request. Default: the origin of `resource`.
   */
  publicUrl?: string;
  /** Default: the well-known place of `resource` (RFC 9728 §3.1). */
  resourceMetadataUrl?: string;
  /** `required`: every proof carries a nonce of this server. Default `optional`. */
  noncePolicy?: NoncePolicy;
  /** What several verifiers of one process share when they stand at one origin. Default: one of its own. */
  proofs?: ProofMemory;
  /**
   * What several instances of this server share, beside the memory of each: `mayfly` asks the brokers, at each request;
   * `createRedisProofs()` a Redis.
   */
  sharedProofs?: SharedProofs | 'mayfly';
  /** For one question to the broker. Default 2,000. */
  timeoutMilliseconds?: number;
  /** Between two renewals of the lease. Default 1,000, which is what brokers are made for. */
  renewMilliseconds?: number;
  fetch?: typeof fetch;
  clock?: Clock;
  log?: VerifierLog;
};

/** Told when the broker can no longer, and can again, be asked; never a token, a proof or a key. pino's fits. */
export type VerifierLog = {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
};

export type CheckedOptions = Required<Omit<VerifierOptions, 'sharedProofs'>> &
  Pick<VerifierOptions, 'sharedProofs'>;

const DEFAULTS = {
  noncePolicy: 'optional',
  timeoutMilliseconds: 2_000,
  renewMilliseconds: RENEW_EVERY_MILLISECONDS,
  log: { info: () => undefined, warn: () => undefined },
} as const;

/** @throws {TypeError} that lists every mistake */
export function checkOptions(given: VerifierOptions): CheckedOptions {
  const problems = [...problemsOf(given ?? {})];
  if (problems.length > 0) {
    throw new TypeError(
      `createVerifier: ${problems.length} mistake(s)\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    );
  }
  const { publicUrl = new URL(given.resource).origin, clock = systemClock } = given;
  const chosen = Object.entries(given).filter(([, value]) => value !== undefined);
  return {
    ...DEFAULTS,
    resourceMetadataUrl: resourceMetadataUrl(given.resource),
    brokers: [given.issuer],
    fetch: globalThis.fetch,
    clock,
    proofs: given.proofs ?? createProofMemory({ clock }),
    ...(Object.fromEntries(chosen) as VerifierOptions),
    publicUrl: publicUrl.replace(/\/$/, ''),
  };
}

function* problemsOf(given: VerifierOptions): Iterable<string> {
  const { issuer, resource, key, publicUrl, resourceMetadataUrl: metadataUrl } = given;
  const {
    noncePolicy,
    sharedProofs,
    brokers = [issuer],
    timeoutMilliseconds = 1,
    renewMilliseconds = 1,
  } = given;
  if (!isPlainUrl(issuer) || !isSecure(issuer)) {
    yield 'issuer has to be the https URL of the broker (http only on this machine), without query and fragment';
  }
  if (!isPlainUrl(resource)) yield 'resource has to be the audience that the catalogue declares, a URL';
  if (isPlainUrl(resource) && (resource === issuer || resource === `${issuer}/`)) {
    yield 'resource has to be another name than the issuer: that one is the resource of operators';
  }
  const keyProblem = problemOfKey(key);
  if (keyProblem !== null) yield keyProblem;
  if (publicUrl !== undefined && !isPlainUrl(publicUrl)) {
    yield 'publicUrl has to be the URL under which clients find the root of this server, without query and fragment';
  }
  if (metadataUrl !== undefined && !isPlainUrl(metadataUrl)) yield 'resourceMetadataUrl has to be a URL';
  if (!Array.isArray(brokers) || brokers.length === 0 || brokers.length > MAX_BROKERS) {
    yield `brokers has to be a list of 1 to ${MAX_BROKERS} URLs`;
  } else if (!(given.brokers ?? []).every((url) => isPlainUrl(url) && isSecure(url))) {
    yield 'brokers have to be https URLs (http only on this machine), without query and fragment';
  }
  if (noncePolicy !== undefined && !['required', 'optional'].includes(noncePolicy)) {
    yield 'noncePolicy has to be required or optional';
  }
  if (sharedProofs !== undefined && sharedProofs !== 'mayfly' && typeof sharedProofs?.spend !== 'function') {
    yield 'sharedProofs has to be mayfly, or a store with spend()';
  }
  for (const [name, value] of Object.entries({ timeoutMilliseconds, renewMilliseconds })) {
    if (!(Number.isSafeInteger(value) && value > 0)) yield `${name} has to be a whole number above zero`;
  }
}

const MAX_BROKERS = 16;

/** Says what it has to be and never what it is. */
function problemOfKey(key: ResourceKey | undefined): string | null {
  if (key === undefined)
    return 'key: it has to be the private key that the catalogue declares for the resource';
  try {
    importKey(key);
    return null;
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
}

function isPlainUrl(url: unknown): url is string {
  return normaliseTarget(url) !== null && !/[?#]/.test(url as string);
}

function isSecure(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || /^(?:localhost|\[::1\]|127(?:\.\d{1,3}){3})$/.test(hostname);
}
