/** The lines of a pack out of the pieces in which a file or an answer comes. Only a line feed ends a line. */
import { AuditFormatError } from './format-error.ts';
import { textOf } from './note-text.ts';
import { MAX_PACK_LINE_LENGTH } from './pack.ts';

const LINE_FEED = 0x0a;

/**
 * Each line without its line feed.
 * @throws {AuditFormatError} for a line that is too long or was cut off, or bytes that are not UTF-8
 */
export async function* packLines(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const piece of pieces) {
    let rest = Buffer.from(piece);
    for (let end = rest.indexOf(LINE_FEED); end !== -1; end = rest.indexOf(LINE_FEED)) {
      yield textOf(Buffer.concat([...begun, rest.subarray(0, end)]));
      [begun, length, rest] = [[], 0, rest.subarray(end + 1)];
    }
    begun.push(rest);
    length += rest.length;
    if (length > MAX_PACK_LINE_LENGTH) throw new AuditFormatError('a line of a pack is not that long');
  }
  if (length > 0) throw new AuditFormatError('the pack ends within a line');
}
