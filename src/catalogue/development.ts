/**
 * `development_key: true` lets the broker of this machine make the private key itself, so that a first start needs
 * no ceremony. It exists only with the embedded database: whoever holds that folder holds everything anyway.
 */
import { z } from 'zod';
import type { Field } from './fields.ts';

export const FLAG: Field<boolean> = {
  schema: z.boolean(),
  expected: 'true or false',
  fix: 'Write true for a trial on this machine; leave it out otherwise.',
  optional: true,
};
