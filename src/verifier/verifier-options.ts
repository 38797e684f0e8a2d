/** What a verifier is made with, checked whole before it is used: every mistake is told at once. */
import type { NoncePolicy } from '../dpop/proof-freshness.ts';
import { normaliseTarget } from '../dpop/target-url.ts';
import { type Clock, systemClock } from '../time/clock.ts';
import type { ResourceKey } from './assertion.ts';
import { createProofMemory, type ProofMemory } from './proof-memory.ts';
import { resourceMetadataUrl } from './resource-metadata.ts';

export type VerifierOptions = {
  /** The broker's issuer, to the letter; https unless it is on this machine. */
  issuer: string;
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
  /** How it is known that a token is alive. `introspect`: the broker is asked about each request. */
  liveness?: 'introspect';
  /** `required`: every proof carries a nonce of this server. Default `optional`. */
  noncePolicy?: NoncePolicy;
  /** What several verifiers of one process share when they stand at one origin. Default: one of its own. */
  proofs?: ProofMemory;
  /** For one question to the broker. Default 2,000. */
  timeoutMilliseconds?: number;
  fetch?: typeof fetch;
  clock?: Clock;
  log?: VerifierLog;
};

/** Told when the broker can no longer, and can again, be asked; never a token, a proof or a key. pino's fits. */
export type VerifierLog = {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
};

export type CheckedOptions = Required<VerifierOptions>;

const DEFAULTS = {
  liveness: 'introspect',
  noncePolicy: 'optional',
  timeoutMilliseconds: 2_000,
  log: { info: () => undefined, warn: () => undefined },
} as const;

/** @throws {TypeError} that lists every mistake */
export function checkOptions(given: VerifierOptions): CheckedOptions {
  const problems = [...problemsOf(given)];
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
    fetch: globalThis.fetch,
    clock,
    proofs: given.proofs ?? createProofMemory({ clock }),
    ...(Object.fromEntries(chosen) as VerifierOptions),
    publicUrl: publicUrl.replace(/\/$/, ''),
  };
}

function* problemsOf(given: VerifierOptions): Iterable<string> {
  const { issuer, resource, publicUrl, resourceMetadataUrl: metadataUrl } = given;
  const { liveness, noncePolicy, timeoutMilliseconds: timeout = 1 } = given;
  if (!isPlainUrl(issuer) || !isSecure(issuer)) {
    yield 'issuer has to be the https URL of the broker (http only on this machine), without query and fragment';
  }
  if (!isPlainUrl(resource)) yield 'resource has to be the audience that the catalogue declares, a URL';
  if (publicUrl !== undefined && !isPlainUrl(publicUrl)) {
    yield 'publicUrl has to be the URL under which clients find the root of this server, without query and fragment';
  }
  if (metadataUrl !== undefined && !isPlainUrl(metadataUrl)) yield 'resourceMetadataUrl has to be a URL';
  if (liveness !== undefined && liveness !== 'introspect') yield 'liveness has to be introspect';
  if (noncePolicy !== undefined && !['required', 'optional'].includes(noncePolicy)) {
    yield 'noncePolicy has to be required or optional';
  }
  if (!(Number.isSafeInteger(timeout) && timeout > 0)) {
    yield 'timeoutMilliseconds has to be a whole number above zero';
  }
}

function isPlainUrl(url: unknown): url is string {
  return normaliseTarget(url) !== null && !/[?#]/.test(url as string);
}

function isSecure(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || /^(?:localhost|\[::1\]|127(?:\.\d{1,3}){3})$/.test(hostname);
}
