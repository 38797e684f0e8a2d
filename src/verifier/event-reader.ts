/**
 * Server-sent events (HTML §9.2.6) out of a text that comes in pieces: events of one name, whole ones only. What was
 * cut off in the middle is nobody's event.
 */

export type EventReader = {
  /** @returns the data of the events that ended in this piece @throws {RangeError} when one is too long */
  push(piece: string): string[];
};

/** @param event its name @param maxLength of one event, characters */
export function createEventReader({ event, maxLength }: { event: string; maxLength: number }): EventReader {
  let rest = '';
  let name = '';
  let data: string[] = [];
  let length = 0;

  function takeLine(line: string): string | null {
    if (line === '') {
      const found = name === event && data.length > 0 ? data.join('\n') : null;
      [name, data, length] = ['', [], 0];
      return found;
    }
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') name = value;
    if (field === 'data') data.push(value);
    length += line.length;
    return null;
  }

  return {
    push(piece) {
      // A carriage return at the end may be half of a line's end: it waits for the other half.
      const text = rest + piece;
      const lines = text.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      const found = lines.map(takeLine).filter((each) => each !== null);
      if (length + rest.length > maxLength) throw new RangeError('an event is too long');
      return found;
    },
  };
}
