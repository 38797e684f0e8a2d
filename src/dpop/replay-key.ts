/**
 * What marks a proof or an assertion as used: its owner and its `jti`, never the raw text, since one JWT has
 * several spellings that verify (RFC 9449 §11.1). 128 bits of a SHA-256 are enough: a collision only ever
 * refuses, and takes 2^64 tries by the owner against itself.
 */
import { hash } from 'node:crypto';

/** As the database stores it. */
export type SpentKey = {
  /** Hours since 1970-01-01T00:00Z of a time in the signed bytes: one JWT can only ever land in one partition. */
  hour: number;
  /** 32 hexadecimal digits. */
  key: string;
};

const SECONDS_PER_HOUR = 3_600;

export function hourOf(seconds: number): number {
  return Math.floor(seconds / SECONDS_PER_HOUR);
}

/**
 * @param owner thumbprint of the proof's key, the client id of an assertion, or the resource that has seen a proof:
 *   without it one client could burn the identifiers of another
 */
export function replayKey(
  kind: 'proof' | 'assertion' | 'proof at a resource',
  owner: string,
  jti: string,
): string {
  return hash('sha256', `${kind}\0${owner}\0${jti}`, 'hex').slice(0, 32);
}

/** 1–256 printable ASCII characters: what mayfly takes as `jti` (RFC 9449 §11.1 asks for a bound). */
export function isIdentifier(jti: unknown): jti is string {
  return typeof jti === 'string' && /^[\x20-\x7e]{1,256}$/.test(jti);
}

/** A {@link SpentKey}'s `key` as the database writes it, and with it the record. */
export function keyInRecord(key: string): string {
  return key.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
