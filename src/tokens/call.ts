/**
 * The one call that a request token is for, as it stands in `authorization_details` (RFC 9396) of type
 * `mayfly_call`: method, URL and a digest of the arguments. Strict: an unknown member could be a limit that
 * somebody believes in and nobody enforces.
 */
import { z } from 'zod';
import { normaliseTarget } from '../dpop/target-url.ts';
import { refuse } from '../errors/refusal.ts';
import { JsonError, parseStrictJson } from '../json/strict-json.ts';
import { decodeBase64url } from '../jws/base64url.ts';

export const CALL_TYPE = 'mayfly_call';

const BOUNDS = { maxDepth: 4, maxMembers: 32 };
const MAX_LENGTH = 8_192;
const SHA256_BYTES = 32;

const callSchema = z.strictObject({
  type: z.literal(CALL_TYPE),
  action: z.string().min(1).max(128),
  method: z.string().regex(/^[A-Z]{1,16}$/),
  /** With its query, which belongs to the call; without a fragment, which is never sent. */
  url: z.string().refine((url) => normaliseTarget(url) !== null && !url.includes('#')),
  /** base64url(SHA-256(RFC 8785 canonical JSON of the arguments)). */
  arguments_digest: z.string().refine((digest) => decodeBase64url(digest)?.length === SHA256_BYTES),
});

export type Call = z.infer<typeof callSchema>;

const HINT =
  `authorization_details is a JSON array of one object with exactly the members type (${CALL_TYPE}), action, ` +
  'method (upper case), url (absolute, no fragment) and arguments_digest (base64url SHA-256 of RFC 8785 JSON).';

/** @throws {Refusal} `invalid_authorization_details` */
export function parseCall(text: string): Call {
  if (text.length > MAX_LENGTH) refuse('authorization_details_malformed', { hint: HINT });
  try {
    return z.tuple([callSchema]).parse(parseStrictJson(text, BOUNDS))[0];
  } catch (error) {
    if (error instanceof JsonError || error instanceof z.ZodError) {
      refuse('authorization_details_malformed', { hint: HINT, cause: error });
    }
    throw error;
  }
}
