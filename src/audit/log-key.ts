/**
 * What the log signs with. Auditors pin its key, so it changes only by a hand-over that the old key signs too; the
 * keys come from the ring, which all brokers share.
 */
import type { KeyObject } from 'node:crypto';
import { signCheckpoint } from './checkpoint.ts';
import { signHandOver } from './hand-over.ts';
import type { SigningKey } from './sign-note.ts';
import { verifierKeyOf } from './verifier-key.ts';

export type LogTree = { size: number; root: Buffer };

export type RingKey = { kid: string; privateKey: KeyObject; publicKey: Buffer };

/** The newest key of the ring that may sign, and those before it that still exist. */
export type RingKeys = { current: RingKey; earlier: readonly RingKey[] };

export type LogKey = {
  kid: string;
  /** @returns the signed note */
  sign(tree: LogTree): string;
  /**
   * @param kid of the key that signed until now
   * @returns the note that both signed, or null when that key is gone: readers have to pin the new one by hand
   */
  takeOver(kid: string, tree: LogTree): string | null;
};

export function logKeyOf(origin: string, { current, earlier }: RingKeys): LogKey {
  return {
    kid: current.kid,
    sign: (tree) => signCheckpoint({ origin, ...tree }, [signingKeyOf(origin, current)]),
    takeOver(kid, tree) {
      const before = earlier.find((candidate) => candidate.kid === kid);
      if (before === undefined) return null;
      return signHandOver(
        { origin, ...tree },
        {
          from: signingKeyOf(origin, before),
          to: signingKeyOf(origin, current),
        },
      );
    },
  };
}

/** Where the log is served, without a scheme (C2SP tlog-checkpoint): also the name of its keys. */
export function originOf(issuer: string): string {
  const { host, pathname } = new URL(issuer);
  return `${host}${pathname.replace(/\/$/, '')}/v1/audit`;
}

function signingKeyOf(origin: string, { privateKey, publicKey }: RingKey): SigningKey {
  return { key: verifierKeyOf({ name: origin, kind: 'log', publicKey }), privateKey };
}
