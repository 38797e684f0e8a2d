/**
 * What an operator sends along with everything that it changes: why, and a name for the request, so that one which is
 * sent again after a broken connection is done once.
 */
import { z } from 'zod';
import { refuse } from '../errors/refusal.ts';
import type { Call } from '../http/route.ts';
import { canonicalDigest } from '../json/canonical-digest.ts';
import type { Operator } from './operator-guard.ts';

export type Change = {
  reason: string;
  /** Name of the operator. */
  actor: string;
  requestId: string;
  /** Address that it came from. */
  source: string;
  /** Undefined when the request carried no `Idempotency-Key`. */
  idempotency: { key: string; requestDigest: string } | undefined;
};

export const MAX_REASON_CHARACTERS = 500;
const MAX_KEY_CHARACTERS = 255;

/** Pasted along with the words around it: it would stand in a record that nothing is removed from. */
const TOKEN = /eyJ[\w-]{8,}\.eyJ/;

/**
 * One line without characters that print as something else; people read it in terminals. What is all blank to them, as
 * fillers and empty Braille are, says nothing. A token says too much.
 */
export const reasonSchema = z
  .string()
  .min(1)
  .max(MAX_REASON_CHARACTERS)
  .regex(/^(?!\s)[^\p{C}\p{Zl}\p{Zp}]*(?<!\s)$/u)
  .regex(/[^\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u)
  .refine((reason) => !TOKEN.test(reason));

const IDEMPOTENCY_KEY = new RegExp(`^[\\x21-\\x7e]{1,${MAX_KEY_CHARACTERS}}$`);

const changeSchema = z.strictObject({ reason: reasonSchema.optional(), dry_run: z.boolean().optional() });

/**
 * @returns null when it is only asked what the change would hit
 * @throws {Refusal} `invalid_request`
 */
export function readChange(call: Call, { name }: Operator): Change | null {
  const parsed = changeSchema.safeParse(call.json ?? {});
  if (!parsed.success) {
    refuse('parameter_invalid', {
      hint: `The members are reason (one line, 1 to ${MAX_REASON_CHARACTERS} characters, no token) and, if wanted, dry_run (true or false).`,
    });
  }
  const { reason, dry_run: isDryRun = false } = parsed.data;
  const idempotency = readIdempotency(call);
  if (isDryRun) return null;
  if (reason === undefined)
    refuse('parameter_missing', { hint: 'reason is required: say why, for the record.' });
  return { reason, actor: name, requestId: call.requestId, source: call.source.address, idempotency };
}

/**
 * The key and what it stands for: the same key with another path or body is a mistake of the caller.
 * @throws {Refusal}
 */
export function readIdempotency({ request, json }: Call): Change['idempotency'] {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) {
    refuse('parameter_invalid', {
      hint: `Idempotency-Key is 1 to ${MAX_KEY_CHARACTERS} printable characters without spaces.`,
    });
  }
  const requestDigest = canonicalDigest([request.method ?? '', request.url ?? '', json ?? null]);
  return { key, requestDigest };
}
