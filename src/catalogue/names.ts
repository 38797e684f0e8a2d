/**
 * The spellings that policy accepts. Names are compared byte for byte all over mayfly, stand in tokens, logs,
 * file names and URLs; so each has one spelling, and what deviates is refused, never normalised.
 */
import { z } from 'zod';
import type { Field } from './fields.ts';

const MAX_NAME_CHARACTERS = 64;
const MAX_SEGMENT_CHARACTERS = 32;
const MAX_TITLE_CHARACTERS = 120;
const MAX_OWNER_CHARACTERS = 100;
const MAX_KID_CHARACTERS = 128;
const MIN_REASON_CHARACTERS = 20;
const MAX_REASON_CHARACTERS = 1_000;

const SEGMENT = '[a-z][a-z0-9]*(?:-[a-z0-9]+)*';
/** mayfly's own actions and clients are declared by mayfly; nobody else may look like them. */
const RESERVED = 'mayfly';

const nameSchema = z
  .string()
  .max(MAX_NAME_CHARACTERS)
  .regex(new RegExp(`^${SEGMENT}$`))
  .refine((name) => name !== RESERVED);

const actionNameSchema = z
  .string()
  .regex(new RegExp(`^${SEGMENT}:${SEGMENT}:${SEGMENT}$`))
  .refine((name) => name.split(':').every((segment) => segment.length <= MAX_SEGMENT_CHARACTERS))
  .refine((name) => !name.startsWith(`${RESERVED}:`));

/** Plain words on one line, without characters that print as something else or as nothing. */
function wordsSchema(min: number, max: number): z.ZodString {
  return z
    .string()
    .min(min)
    .max(max)
    .regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u)
    .regex(/^\S(?:.*\S)?$/u);
}

/** An agent's or a zone's name. */
export const NAME: Field<string> = {
  schema: nameSchema,
  expected: `a name of lower-case letters, digits and single hyphens that starts with a letter, at most ${MAX_NAME_CHARACTERS} characters, not "${RESERVED}"`,
  fix: 'Use a name like report-writer.',
};

/** `service:verb:resource`. */
export const ACTION_NAME: Field<string> = {
  schema: actionNameSchema,
  expected: `service:verb:resource, each part of lower-case letters, digits and single hyphens, at most ${MAX_SEGMENT_CHARACTERS} characters, the service not "${RESERVED}"`,
  fix: 'Use a name like db:read:customers.',
};

export const TITLE: Field<string> = {
  schema: wordsSchema(1, MAX_TITLE_CHARACTERS),
  expected: `plain words on one line, 1 to ${MAX_TITLE_CHARACTERS} printable characters`,
  fix: 'Say in plain words what it is or does; people read this when they decide.',
};

/** Who answers for something: a team or a person. */
export const OWNER: Field<string> = {
  schema: z
    .string()
    .max(MAX_OWNER_CHARACTERS)
    .regex(/^[a-z0-9]+(?:[._@+-][a-z0-9]+)*$/),
  expected: `a team or a person as lower-case letters, digits and . _ @ + -, at most ${MAX_OWNER_CHARACTERS} characters`,
  fix: 'Name the team, like data-platform, or an address, like ada@example.com.',
};

export const KID: Field<string> = {
  schema: z
    .string()
    .max(MAX_KID_CHARACTERS)
    .regex(/^[A-Za-z0-9_-][A-Za-z0-9._~-]*$/),
  expected: `a key identifier of letters, digits and . _ ~ -, at most ${MAX_KID_CHARACTERS} characters`,
  fix: 'Use the RFC 7638 thumbprint of the key; mayfly agent new prints it.',
};

export const REASON: Field<string> = {
  schema: wordsSchema(MIN_REASON_CHARACTERS, MAX_REASON_CHARACTERS),
  expected: `the reason, ${MIN_REASON_CHARACTERS} to ${MAX_REASON_CHARACTERS} characters on one line`,
  fix: 'Say why this is right here, for whoever reviews it next.',
};
