/**
 * What brokers and verifiers say to each other about the ledger: compact JWS, a `typ` for each kind, so that none
 * can be taken for another (RFC 8725 §3.11), under keys that sign nothing else (L11). Whoever carries a message
 * needs no trust; a token's own epoch is never evidence of anything, only such a message is.
 */
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import {
  encodeHeader,
  readCompactJws,
  signCompactJws,
  type UnverifiedJwt,
  verifySignature,
} from '../jws/compact-jws.ts';
import type { VerificationKey } from '../jws/jwk.ts';
import { ledgerPageSchema, MAX_PAGE_ENTRIES } from './ledger-entry.ts';

export const LEDGER_PAGE_TYPE = 'mayfly-ledger+jwt';
export const LEASE_TYPE = 'mayfly-lease+jwt';
export const QUESTION_TYPE = 'mayfly-question+jwt';
export const RECEIPT_TYPE = 'mayfly-receipt+jwt';

/** A page with a thousand entries of the longest targets, twice over. */
export const MAX_MESSAGE_LENGTH = 2_097_152;

export const MESSAGE_BOUNDS = { maxDepth: 8, maxMembers: 16 * MAX_PAGE_ENTRIES };

export const SENSITIVITIES = ['LOW', 'MED', 'HIGH'] as const;
export type Sensitivity = (typeof SENSITIVITIES)[number];
const SENSITIVITY = z.enum(SENSITIVITIES);
const instanceId = z.string().regex(/^ver_[0-7][0-9a-hjkmnp-tv-z]{25}$/);
/** 128 bits as base64url. */
const nonce = z.string().regex(/^[A-Za-z0-9_-]{22}$/);
const seconds = z.int().positive();

/** What `GET /v1/revocations` signs. */
export const ledgerPageMessage = z.object({ iss: z.string(), iat: seconds, page: ledgerPageSchema });

export const drillOutcomeSchema = z.strictObject({
  id: z.string().max(64),
  /** What the verifier's own rule said of the canary token. */
  outcome: z.enum(['accepted', 'refused']),
});

/** A verifier's question (L14), signed with the key of its resource. */
export const questionMessage = z.strictObject({
  iss: z.string(),
  sub: z.string(),
  aud: z.string(),
  iat: seconds,
  exp: seconds,
  instance: instanceId,
  nonce,
  generation: z.int().nonnegative(),
  applied_epoch: z.int().nonnegative(),
  /** Of the applied epoch; null before the first snapshot. */
  digest: z.string().length(43).nullable(),
  /** The version of the catalogue from which it knows how sensitive its actions are; absent or 0 before the first. */
  catalogue: z.int().nonnegative().optional(),
  /** Those of the actions that it decides on: the longest of their leases is what it may hold. */
  sensitivities: z.array(SENSITIVITY).min(1).max(3),
  /** True in the last question: from now on this instance decides nothing. */
  leaving: z.boolean().optional(),
  drills: z.array(drillOutcomeSchema).max(8).optional(),
});

export type Question = z.infer<typeof questionMessage>;

/** Of questions that come before their time, since there is news: from one to the next, and how far they are spread. */
const hurrySchema = z.object({
  pause_milliseconds: z.int().min(0).max(60_000),
  spread_milliseconds: z.int().min(0).max(60_000),
});

export type Hurry = z.infer<typeof hurrySchema>;

/** The answer to one question, and to that one only: it repeats instance and nonce. */
export const leaseMessage = z.object({
  iss: z.string(),
  iat: seconds,
  instance: instanceId,
  nonce,
  /** What the verifier lacks. Its lease counts once `page.through` is the head and applied. */
  page: ledgerPageSchema,
  /** Seconds from the moment that the question was asked (L15). */
  leases: z.object({ LOW: seconds, MED: seconds, HIGH: seconds }),
  /** The actions of the resource, when the question names another version than the one that is applied. */
  catalogue: z
    .object({ version: z.int().positive(), actions: z.record(z.string().max(128), SENSITIVITY) })
    .optional(),
  hurry: hurrySchema.optional(),
  drills: z
    .array(z.object({ id: z.string().max(64), token: z.string().max(16_384) }))
    .max(8)
    .optional(),
});

export type Lease = z.infer<typeof leaseMessage>;

export type MessageSigner = { kid: string; privateKey: KeyObject };

export function signMessage(typ: string, payload: object, { kid, privateKey }: MessageSigner): string {
  const alg = privateKey.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
  return signCompactJws(encodeHeader({ alg, typ, kid }), payload, privateKey);
}

/**
 * @param keyOf a ledger key of the issuer, or a declared key of the resource for questions; null when unknown
 * @returns null for everything that is not such a message, well signed and of this shape
 */
export function readMessage<Payload>(
  text: string,
  {
    typ,
    schema,
    keyOf,
    isSigned = verifySignature,
    maxMembers = MESSAGE_BOUNDS.maxMembers,
  }: {
    typ: string;
    schema: z.ZodType<Payload>;
    keyOf: (kid: string) => VerificationKey | null;
    /** For whoever has verified this very message before. */
    isSigned?: (jwt: UnverifiedJwt, key: VerificationKey) => boolean;
    maxMembers?: number;
  },
): Payload | null {
  const jwt = readJwt(text, maxMembers);
  if (jwt === null || jwt.header.typ !== typ || typeof jwt.header.kid !== 'string') return null;
  const key = keyOf(jwt.header.kid);
  if (key === null || !isSigned(jwt, key)) return null;
  const payload = schema.safeParse(jwt.claims);
  return payload.success ? payload.data : null;
}

function readJwt(text: string, maxMembers: number) {
  try {
    return readCompactJws(text, MAX_MESSAGE_LENGTH, { bounds: { ...MESSAGE_BOUNDS, maxMembers } });
  } catch {
    return null;
  }
}
