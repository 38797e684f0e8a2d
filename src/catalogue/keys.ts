/**
 * The public keys with which an agent or a resource server authenticates to the broker. One key is one identity:
 * a `kid` is unique within its declaration and the key itself in the whole catalogue, so that a signature never
 * speaks for two.
 */
import { z } from 'zod';
import { JwkError, type PublicJwk, parseVerificationKey } from '../jws/jwk.ts';
import { type Field, isMapping, readFields, reportAt, type Section, sectionAt } from './fields.ts';
import { KID } from './names.ts';
import { REFUSED } from './policy-yaml.ts';
import { quoted, type Report } from './problem.ts';

/** A public key with the name that assertions give it in their header. */
export type NamedJwk = PublicJwk & { kid: string };

export type DeclaredKey = { jwk: NamedJwk; thumbprint: string; section: Section };

export const MAX_KEYS = 10;

const MEMBER = { expected: 'a member of a public JWK', fix: 'Paste the public JWK.' };
const text: Field<string> = { schema: z.string(), ...MEMBER };

const KEY_SHAPE = {
  kty: { ...text, expected: 'EC or OKP' },
  crv: { ...text, expected: 'P-256 or Ed25519' },
  x: text,
  y: { ...text, optional: true },
  kid: KID,
  alg: { ...text, optional: true },
  use: { ...text, optional: true },
};

/** Reads `keys`. The list may be absent where mayfly makes the key itself, or is itself who would have it. */
export function readKeys(
  declaration: Section,
  { mayBeAbsent }: { mayBeAbsent: boolean },
  report: Report,
): DeclaredKey[] {
  const list = sectionAt(declaration, 'keys');
  if (list.value === REFUSED) return [];
  if (list.value === undefined) {
    if (!mayBeAbsent) reportAt(declaration, report, NO_KEYS, 'key');
    return [];
  }
  if (!Array.isArray(list.value) || list.value.length > MAX_KEYS) {
    reportAt(list, report, { ...NO_KEYS, rule: 'invalid-value' });
    return [];
  }
  if (list.value.length === 0 && !mayBeAbsent) reportAt(list, report, NO_KEYS, 'key');
  const keys = [...list.value.keys()].map((index) => readKey(sectionAt(list, index), report));
  return withoutRepeatedKid(
    keys.filter((key) => key !== null),
    report,
  );
}

const NO_KEYS = {
  rule: 'missing-key',
  message: `expected keys: a list of 1 to ${MAX_KEYS} public JWKs`,
  fix: 'Add a public key (mayfly agent new makes one); for a trial on this machine: development_key: true.',
};

function readKey(section: Section, report: Report): DeclaredKey | null {
  if (isMapping(section.value) && Object.hasOwn(section.value, 'd')) {
    reportAt(sectionAt(section, 'd'), report, PRIVATE_KEY, 'key');
    return null;
  }
  const { kid } = readFields(section, KEY_SHAPE, report);
  if (kid === undefined) return null;
  try {
    return { ...namedKey(section.value as Record<string, unknown>, kid), section };
  } catch (error) {
    if (!(error instanceof JwkError)) throw error;
    reportAt(section, report, {
      rule: 'invalid-key',
      message: `expected a public P-256 or Ed25519 key: ${error.message}`,
      fix: 'Paste the public JWK again; mayfly agent new makes one.',
    });
    return null;
  }
}

const PRIVATE_KEY = {
  rule: 'private-key',
  message: 'expected a public key, found the private one',
  fix: 'Throw this key away, since whoever can read the repository has it; make another and paste its public JWK.',
};

/** @throws {JwkError} when it is not a public key that mayfly can use */
export function namedKey(value: Record<string, unknown>, kid: string): { jwk: NamedJwk; thumbprint: string } {
  const { jwk, thumbprint } = parseVerificationKey(value);
  const alg = value.alg === undefined ? {} : { alg: value.alg };
  return { jwk: { ...jwk, kid, ...alg } as NamedJwk, thumbprint };
}

function withoutRepeatedKid(keys: DeclaredKey[], report: Report): DeclaredKey[] {
  const seen = new Set<string>();
  return keys.filter(({ jwk, section }) => {
    const isNew = !seen.has(jwk.kid);
    seen.add(jwk.kid);
    if (!isNew) {
      reportAt(sectionAt(section, 'kid'), report, {
        rule: 'duplicate-name',
        message: `expected each kid once in a declaration, found ${quoted(jwk.kid)} a second time`,
        fix: 'Give every key its own kid: its RFC 7638 thumbprint.',
      });
    }
    return isNew;
  });
}
