/** Reads just enough of an HTTP answer to know where it ends and whether it brought a token. */

export type HttpAnswer = { isToken: boolean; closes: boolean; text: string };

const LENGTH = /\r\ncontent-length: (\d+)/i;
const CLOSES = /\r\nconnection: close/i;

/** @returns null while it is not complete; at most one answer is ever under way on a connection */
export function readAnswer(text: string): HttpAnswer | null {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const head = text.slice(0, headEnd);
  const length = Number(LENGTH.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(length)) throw new Error(`an answer without a length: ${head}`);
  if (text.length < headEnd + 4 + length) return null;
  const isToken = head.startsWith('HTTP/1.1 200') && text.includes('"access_token":"', headEnd);
  return { isToken, closes: CLOSES.test(head), text };
}

export function headerOf({ text }: HttpAnswer, name: string): string | undefined {
  return new RegExp(`\r\n${name}: ([^\r]*)`, 'i').exec(text)?.[1];
}
