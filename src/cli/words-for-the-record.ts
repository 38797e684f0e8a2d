/**
 * What a broker asks of a reason before it stands in the ledger and in receipts, where no broker is asked: a command
 * that goes straight at the database must not write there what could not be read back.
 */
import { MAX_REASON_CHARACTERS, reasonSchema } from '../operators/read-change.ts';
import { fail } from './failure.ts';
import { complaintAbout } from './reason.ts';

/** Of an operator, or of a user of this machine. With a colon in it, it could pass for somebody else's. */
const PERSON = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N} _.@+\\-]{0,63}$/u;

/** @throws {CommandFailure} */
export function requireWords({ reason, person }: { reason: string; person: string }): void {
  const complaint = complaintAbout(reason);
  if (complaint !== null) fail('usage', complaint);
  if (!reasonSchema.safeParse(reason).success)
    fail('usage', `--reason is one line of 1 to ${MAX_REASON_CHARACTERS} characters, for the record.`);
  if (!PERSON.test(person)) fail('usage', '--as is a plain name, for the record.');
}
