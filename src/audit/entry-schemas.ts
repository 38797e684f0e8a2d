/**
 * What an entry of the log may say, action by action: closed, so that nothing gets into it that nobody thought about,
 * and no secret, token, proof or assertion ever has a place. `openapi.yaml` describes the same.
 */
import { z } from 'zod';

const text = z.string().max(2_000);
const name = z.string().min(1).max(300);
const address = z.string().min(1).max(100);
const epoch = z.int().nonnegative();
const kid = z.string().min(1).max(100);
const purpose = z.enum(['token', 'ledger', 'nonce', 'log']);
const effect = z.enum(['revoked', 'none']);

const revocation = {
  epoch,
  kind: name,
  target: z.string().max(300),
  standing: z.boolean(),
  reason: text,
};

const catalogueChange = z.strictObject({
  version: z.int(),
  digest: z.string(),
  before: z.int().nullable(),
  agents_added: z.array(z.strictObject({ id: name, name, kind: name.optional() })),
  agents_removed: z.array(name),
  revocations: z.int(),
});

/** Written after the entry of the ledger that it belongs to, because that could not be recorded at once (L2). */
const late = { at: text.optional(), late_because: text.optional() };

/** Of one refusal, of many of one caller, or of many callers. */
const refusal = z.union([
  z.strictObject({
    route: name,
    source: address,
    caller_request_id: name.optional(),
  }),
  z.strictObject({ source: address }),
  z.strictObject({ mixed: z.literal(true) }),
]);

export const ENTRY_DETAILS = {
  'token.minted': z.strictObject({
    source: address,
    /** Thumbprint of the key that the token is bound to, and which key of the client signed. */
    jkt: z.string(),
    client_kid: z.string().nullable(),
    agent: name,
    zone: name,
    resource: name,
    scope: name,
    kid,
    /** Version of the catalogue that decided, and its rule. */
    catalogue: z.int(),
    rule: z.literal('granted'),
    epoch,
    /** Of the proof that was spent on it. */
    proof: z.guid(),
    expires: z.int(),
  }),
  'token.refused': refusal,
  'request.refused': refusal,
  'token.introspected': z.strictObject({ active: z.boolean() }),
  'token.revoked': z.strictObject({ effect }),
  'token.consumed': z.strictObject({}),
  'proofs.spent': z.strictObject({ asked: z.int(), fresh: z.int() }),
  'session.revoked': z.strictObject({ effect }),
  'operator.admitted': z.strictObject({ action: name, source: address }),
  'ledger.read': z.strictObject({}),
  'revocation.appended': z.strictObject({ ...revocation, ...late }),
  'revocation.released': z.strictObject({ ...revocation, ...late, released: name.optional() }),
  'kill_switch.found_engaged': z.strictObject({ epoch, kind: name, target: z.string(), reason: text }),
  'catalogue.changed': catalogueChange,
  'signing_key.made': z.strictObject({
    kid,
    purpose,
    generation: z.int(),
    sealed_by: z.string(),
    active_from: z.string(),
  }),
  'signing_key.hastened': z.strictObject({ kid, purpose }),
  'signing_key.revoked': z.strictObject({ kid, purpose, reason: text.optional() }),
  'signing_key.resealed': z.strictObject({ kid, purpose, sealed_by: z.string() }),
  'signing_key.erased': z.strictObject({ kid, purpose }),
  /** A witness saw another log than this one, which had a signed head of so many entries. */
  'audit_log.doubted': z.strictObject({ witness: name, why: text, size: z.int().nonnegative() }),
  'audit_log.trusted': z.strictObject({ reason: text, doubts: z.int().positive() }),
} as const;

export type EntryAction = keyof typeof ENTRY_DETAILS;

export function isEntryAction(action: string): action is EntryAction {
  return Object.hasOwn(ENTRY_DETAILS, action);
}

/** @returns what is wrong with these details, or null */
export function faultOfDetails(action: string, details: unknown): string | null {
  if (!isEntryAction(action)) return `${action} is no action of the log`;
  const { error } = ENTRY_DETAILS[action].safeParse(details);
  return error === undefined ? null : z.prettifyError(error);
}
