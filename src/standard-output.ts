/**
 * Standard output as a log has to have it: never in the way. It may be a full disk, a closed pipe, or a pipe whose
 * reader sleeps; then lines are lost and counted, and the broker goes on. What cannot be written at once waits in the
 * stream, in bounded room, so the last lines before an exit are there without anything to flush unless the reader is
 * behind.
 */
import type { Writable } from 'node:stream';

export type LogOutput = {
  write(line: string): void;
  /** Lines that nobody will see. */
  lost(): number;
  /** Waits for a reader who is behind. @returns false when he still is after so long */
  flushed(options: { withinMilliseconds: number }): Promise<boolean>;
};

/** Of lines that wait for a reader. */
const MAX_WAITING_BYTES = 4 * 1_048_576;

export function createLogOutput(
  stream: Writable = process.stdout,
  { maxWaitingBytes = MAX_WAITING_BYTES }: { maxWaitingBytes?: number } = {},
): LogOutput {
  let lost = 0;
  let waiting = 0;
  let onEmpty = () => {};
  // Without a listener an error of the stream would end the process; each line hears of its own by its callback.
  stream.on('error', () => {});

  const written = (error: Error | null | undefined) => {
    if (error) lost += 1;
    waiting -= 1;
    if (waiting === 0) onEmpty();
  };

  return {
    write(line) {
      if (stream.writableLength > maxWaitingBytes) {
        lost += 1;
        return;
      }
      waiting += 1;
      stream.write(line, written);
    },
    lost: () => lost,
    async flushed({ withinMilliseconds }) {
      if (waiting === 0) return true;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      const impatience = setTimeout(() => resolve(false), withinMilliseconds);
      onEmpty = () => resolve(true);
      const isEmpty = await promise;
      clearTimeout(impatience);
      return isEmpty;
    },
  };
}
