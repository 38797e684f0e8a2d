/**
 * What an entry of the log may say, action by action: closed, so that nothing gets into it that nobody thought about,
 * and no secret, token, proof or assertion ever has a place. `openapi.yaml` describes the same.
 */
import { z } from 'zod';
import type { EntryFault } from './entry-document.ts';

const text = z.string().max(2_000);
const name = z.string().min(1).max(300);
const address = z.string().min(1).max(100);
const epoch = z.int().nonnegative();
const kid = z.string().min(1).max(100);
const purpose = z.enum(['token', 'ledger', 'nonce', 'log', 'web-identity']);
const effect = z.enum(['revoked', 'none']);

const catalogueChange = z.strictObject({
  version: z.int(),
  digest: z.string(),
  before: z.int().nullable(),
  agents_added: z.array(z.strictObject({ id: name, name, kind: name.optional() })),
  agents_removed: z.array(name),
  revocations: z.int(),
});

/** Where it came from, and whom it is about. Entries from before these were written lack them. */
const asking = { source: address.optional(), agent: name.optional() };

/** Written after the entry of the ledger that it belongs to, because that could not be recorded at once (L2). */
const late = { at: text.optional(), late_because: text.optional() };

/** An entry of the ledger: its `agent` is the one whose session, token or grants it ends, when it is of one. */
const revocation = {
  epoch,
  kind: name,
  target: z.string().max(300),
  standing: z.boolean(),
  reason: text,
  ...asking,
  ...late,
};
const revoked = z.strictObject(revocation);
/** Or there was nothing to end any more. */
const ended = z.union([revoked, z.strictObject({ effect, ...asking })]);
const released = z.strictObject({ ...revocation, released: name.optional() });

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const jkt = z.string().max(100).describe('RFC 7638 thumbprint of the key.');
const proof = z.guid().describe('A hash of the key and the `jti` of the proof, which itself stands nowhere.');
const catalogue = z.int().describe('Version of the catalogue that decided.');

/** What the path names: an identifier of mayfly's or a declared name; else its digest. */
const target = {
  target: name.optional(),
  target_sha256: sha256.optional().describe('Of what the path names, when that is no name of ours.'),
};

/** Of one refusal; of many of one caller, what they have in common; or of many callers. `reason` is the rule. */
const refusal = z.union([
  z.strictObject({
    route: name.optional(),
    source: address,
    caller_request_id: name.optional(),
    claimed_client: name
      .optional()
      .describe(
        'A declared client that the caller said it is, and did not prove to be: whoever is proved is `actor`.',
      ),
    client_kid: name.optional(),
    agent: name.optional(),
    zone: name.optional(),
    catalogue: catalogue.optional(),
    scope: text.optional().describe('Of what was asked for, the actions that are declared.'),
    scope_sha256: sha256.optional().describe('Of all that was asked for, when not all of it is declared.'),
    resource: name.optional(),
    resource_sha256: sha256.optional(),
    ...target,
    jkt: jkt.optional(),
    proof: proof.optional(),
    epoch: epoch.optional(),
  }),
  z.strictObject({ mixed: z.literal(true) }),
]);

export const ENTRY_DETAILS = {
  'token.minted': z.strictObject({
    source: address,
    /** Thumbprint of the key that the token is bound to, and which key of the client signed. */
    jkt,
    client_kid: z.string().nullable(),
    agent: name,
    zone: name,
    resource: name,
    scope: z.string().min(1).max(4_096),
    kid,
    catalogue,
    /** Of the catalogue: the one by which it decided. */
    rule: z.literal('granted'),
    epoch,
    proof,
    expires: z.int(),
    call: z
      .string()
      .max(100)
      .nullish()
      .describe(
        'Of a token for one call: base64url SHA-256 of that call (its authorization_details, RFC 8785), which itself stands nowhere.',
      ),
  }),
  'token.refused': refusal,
  'request.refused': refusal,
  'login.failed': refusal,
  /** A nonce was wanted, which is a step of RFC 9449 and no decision: counts alone. */
  'proof.challenged': refusal,
  'token.introspected': z.strictObject({ active: z.boolean(), ...asking }),
  'token.revoked': ended,
  'token.consumed': z.strictObject(asking),
  'proofs.spent': z.strictObject({ asked: z.int(), fresh: z.int(), source: address.optional() }),
  'session.revoked': ended,
  'agent.revoked': revoked,
  'agent.quarantined': revoked,
  'agent.released': released,
  'kill_switch.engaged': revoked,
  'kill_switch.released': released,
  'operator.admitted': z.strictObject({
    action: name,
    source: address,
    agent: name.optional(),
    jkt: jkt.optional(),
    proof: proof.optional(),
    catalogue: catalogue.optional(),
    epoch: epoch.optional(),
    ...target,
  }),
  /** The holder of a token was let in; what AWS said is another line, or a refusal. */
  'aws.credentials_requested': z.strictObject({
    action: name,
    source: address,
    agent: name,
    jkt,
    proof,
    catalogue,
    epoch,
  }),
  /** Nothing of the credentials: their RoleSessionName is the token, and `expires` the end that their policy has. */
  'aws.credentials_issued': z.strictObject({
    action: name,
    source: address,
    agent: name,
    role_arn: z.string().max(512),
    region: name,
    policy_sha256: sha256.describe('Of the session policy, as it was sent.'),
    expires: z.int(),
    epoch,
  }),
  /** On a role at AWS, by a broker, for so many entries of the ledger; `epoch` is the newest that was new there. */
  'aws.deny_put': z.strictObject({
    role_arn: z.string().max(512),
    policy_sha256: sha256,
    entries: z.int().positive(),
    epoch: epoch.nullable(),
  }),
  'aws.deny_removed': z.strictObject({ role_arn: z.string().max(512) }),
  'ledger.read': z.strictObject({ source: address.optional() }),
  /** By itself: an agent or an operator asked what it is to the broker. */
  'agent.read': z.strictObject({ source: address, agent: name.optional(), jkt }),
  /** What has no name of its own; until these names were given, every entry of the ledger. */
  'revocation.appended': revoked,
  'revocation.released': released,
  'kill_switch.found_engaged': z.strictObject({
    epoch,
    kind: name,
    target: z.string(),
    reason: text,
    source: address.optional(),
  }),
  'catalogue.changed': catalogueChange,
  'signing_key.made': z.strictObject({
    kid,
    purpose,
    generation: z.int(),
    sealed_by: z.string(),
    active_from: z.string(),
  }),
  'signing_key.hastened': z.strictObject({ kid, purpose }),
  'signing_key.revoked': z.strictObject({
    kid,
    purpose,
    reason: text.optional(),
    source: address.optional(),
  }),
  'signing_key.resealed': z.strictObject({ kid, purpose, sealed_by: z.string() }),
  'signing_key.erased': z.strictObject({ kid, purpose }),
  /** A witness saw another log than this one, which had a signed head of so many entries. */
  'audit_log.doubted': z.strictObject({ witness: name, why: text, size: z.int().nonnegative() }),
  'audit_log.trusted': z.strictObject({ reason: text, doubts: z.int().positive() }),
} as const;

export type EntryAction = keyof typeof ENTRY_DETAILS;
export const ENTRY_ACTIONS: readonly string[] = Object.keys(ENTRY_DETAILS);

/**
 * In the place of details that the log does not hold: they have no form as JSON, are too large, or are none that are
 * described here, which might be anything. The entry itself is never lost for it.
 */
export const UNWRITABLE_DETAILS = z.strictObject({
  unwritable: z.enum([
    'cycle',
    'too-deep',
    'too-many-values',
    'lone-surrogate',
    'bigint',
    'not-a-json-number',
    'not-json',
    'nul',
    'too-large',
    'undescribed',
  ] satisfies (EntryFault | 'nul' | 'undescribed')[]),
  sha256: sha256
    .optional()
    .describe('Of what would have been the whole entry, where that has canonical bytes.'),
});

export function isEntryAction(action: string): action is EntryAction {
  return Object.hasOwn(ENTRY_DETAILS, action);
}

/** @returns what is wrong with these details, or null */
export function faultOfDetails(action: string, details: unknown): string | null {
  if (!isEntryAction(action)) return `${action} is no action of the log`;
  const { error } = ENTRY_DETAILS[action].safeParse(details);
  if (error === undefined || UNWRITABLE_DETAILS.safeParse(details).success) return null;
  return z.prettifyError(error);
}
