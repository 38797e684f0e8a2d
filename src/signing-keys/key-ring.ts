/**
 * The keys that all brokers share, as one broker uses them: it signs with the newest active key, publishes every
 * key that may still have to verify something, and never signs with what others do not publish yet.
 *
 * The table is the truth. This is a copy of it, read again every few seconds; each reading also takes whatever
 * step is due, so that keys rotate while any broker runs. Losing the database does not stop signing at once, but
 * before the copy could be behind a retirement. A statement that mints still asks the table itself whether the
 * key may sign (L9), so that a revoked key dies at once. Refreshing and retrying is the right answer to its no.
 */
import type { Log } from '../errors/log.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import { type Jwks, jwksOf, webIdentityJwksOf } from './jwks.ts';
import { keepUpRing } from './keep-up-ring.ts';
import { type KeyListing, listing, type RingOptions, storedRing } from './key-operations.ts';
import { isInUse } from './key-state.ts';
import { requireOpen, resealRing } from './open-ring.ts';
import { createKeyOpener } from './opened-keys.ts';
import type { RotationDemand } from './plan-rotation.ts';
import { type Schedule, startPolling, timerSchedule } from './poll.ts';
import { createRingCopy, type RingCopy, readClocks } from './ring-copy.ts';
import { retireKeyNow, rotateRing } from './rotate-ring.ts';
import { createSigners, type Signers } from './signers.ts';
import type { StoredRing } from './stored-ring.ts';

export type KeyRing = Signers & {
  /** The key of ours that a token names, while anything signed by it may live; null for every other `kid`. */
  tokenVerificationKey(kid: string): VerificationKey | null;
  /** The keys of tokens, for `jwks_uri`. Also given when the database is gone: verifying goes on. */
  jwks(): Jwks;
  /** The keys of ledger messages. */
  ledgerJwks(): Jwks;
  /** The keys by which AWS verifies; none before they are needed. */
  webIdentityJwks(): object;
  /** Every key that ever signed the audit log, the oldest first: what was signed is verified for years. */
  logKeys(): Promise<{ kid: string; publicKey: Buffer }[]>;
  /** The newest generations of every purpose, as the database has them now. */
  list(): Promise<KeyListing[]>;
  /** Reads the ring again, no earlier than now. Rejects when that fails; the old copy then stays. */
  refresh(): Promise<void>;
  rotate(demand: RotationDemand & { actor: string }): Promise<void>;
  /** False when the key was revoked before, or is unknown. */
  retireNow(options: { kid: string; actor: string }): Promise<boolean>;
  copyAgeSeconds(): number;
  close(): Promise<void>;
};

type KeyRingOptions = RingOptions & {
  log: Log;
  schedule?: Schedule;
  /** Whether mayfly has to tell AWS who an agent is. */
  webIdentity?: boolean;
};

/**
 * Makes what keys are missing, seals anew what a previous KEK sealed, and keeps the copy fresh until closed.
 *
 * @param schedule when to read again; a timer of POLL_SECONDS unless told otherwise
 * @throws {KeyRingError} when a key in use cannot be opened, or the configuration is not acceptable
 */
export async function createKeyRing({
  log,
  schedule,
  webIdentity = false,
  ...options
}: KeyRingOptions): Promise<KeyRing> {
  const ring = storedRing(options);
  const { clock } = options;
  const openKeys = createKeyOpener({ keks: ring.keks, log });

  async function read(): Promise<RingCopy> {
    const asked = readClocks(clock);
    const { keys, nowMilliseconds } = await keepUpRing(ring);
    const answered = readClocks(clock);
    const { policy } = ring;
    return createRingCopy({ keys: openKeys(keys), nowMilliseconds, asked, answered, clock, policy });
  }

  await prepare(ring, log);
  if (webIdentity) await requireWebIdentity(ring);
  let copy = await read();
  const polling = startPolling({
    work: async () => {
      copy = await read();
    },
    onFailure: (error) =>
      log.warn(
        { err: error, copyAgeSeconds: copy.ageSeconds() },
        'The signing keys could not be read again; signing stops when the copy of them gets too old.',
      ),
    schedule: schedule ?? timerSchedule,
  });

  async function changing<Result>(change: Promise<Result>): Promise<Result> {
    const result = await change;
    await polling.runNow();
    return result;
  }

  return {
    ...createSigners(() => copy),
    tokenVerificationKey(kid) {
      const key = copy.keysOf('token', isInUse).find((candidate) => candidate.kid === kid);
      return key?.material.algorithm === 'Ed25519' ? key.material.verificationKey : null;
    },
    jwks: () => jwksOf(copy.keysOf('token', isInUse)),
    ledgerJwks: () => jwksOf(copy.keysOf('ledger', isInUse)),
    webIdentityJwks: () => webIdentityJwksOf(copy.keysOf('web-identity', isInUse)),
    async logKeys() {
      const { keys } = await ring.store.readHistory();
      return keys
        .filter(({ purpose }) => purpose === 'log')
        .sort((one, other) => one.generation - other.generation)
        .flatMap(({ kid, publicKey }) => (publicKey === null ? [] : [{ kid, publicKey }]));
    },
    list: async () => listing(await ring.store.readHistory(), ring.policy),
    refresh: polling.runNow,
    async rotate(demand) {
      await changing(rotateRing(ring, demand));
    },
    retireNow: (which) => changing(retireKeyNow(ring, which)),
    copyAgeSeconds: () => copy.ageSeconds(),
    close: polling.close,
  };
}

/** Refuses before it makes anything, so that a wrong KEK leaves no key behind that others cannot open. */
async function prepare(ring: StoredRing, log: Log): Promise<void> {
  requireOpen(ring, await ring.store.readRing());
  const resealed = await resealRing(ring, { actor: 'mayfly:start' });
  if (resealed > 0) log.info({ resealed }, 'Sealed signing keys anew, with the current key-encryption key.');
  requireOpen(ring, await keepUpRing(ring));
}

/** Its first key; the later ones come by the schedule. However many brokers ask, there is one. */
async function requireWebIdentity(ring: StoredRing): Promise<void> {
  const purpose = 'web-identity';
  const { keys } = await ring.store.readRing();
  if (keys.some((key) => key.purpose === purpose)) return;
  await rotateRing(ring, { purpose, immediately: false, actor: 'mayfly:start' });
}
