/** What is wrong with a reason, said before anybody is asked; brokers apply the same rule (`reasonSchema`). */
import { plainText } from './plain-text.ts';

const MAX_CHARACTERS = 500;
const NOT_SHOWN = /[\p{C}\p{Zl}\p{Zp}]/u;
const SHOWN = /[^\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/u;

const TOKEN = /eyJ[\w-]{8,}\.eyJ/;

/** @returns null when it can stand in the record */
export function complaintAbout(reason: string): string | null {
  if (reason === '') return '--reason is empty: say why, for the record.';
  if (reason.length > MAX_CHARACTERS) {
    return `--reason has ${reason.length} characters, and ${MAX_CHARACTERS} are the most.`;
  }
  if (/[\n\r\u2028\u2029]/.test(reason)) return '--reason has a line break, and has to be one line.';
  const [hidden] = NOT_SHOWN.exec(reason) ?? [];
  if (hidden !== undefined) return `--reason has a character that does not print: ${plainText(hidden)}.`;
  if (TOKEN.test(reason)) return '--reason has a token in it, and the record is for ever: leave it out.';
  if (!SHOWN.test(reason)) return '--reason is blank: say why, for the record.';
  if (reason !== reason.trim()) return '--reason begins or ends with a blank.';
  return null;
}
