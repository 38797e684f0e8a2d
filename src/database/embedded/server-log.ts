/** Postgres' own log: one file that is kept short while Postgres goes on writing to it. */
import { closeSync, copyFileSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';

export type ServerLog = {
  /** For Postgres to write to; appends. */
  descriptor: number;
  /** The last lines, for an error message. */
  tail(): string;
  close(): void;
};

const MAX_BYTES = 4 * 1024 * 1024;
const CHECK_EVERY_MILLISECONDS = 60_000;
const TAIL_LINES = 8;

/** Keeps the file below about `maxBytes` plus what one check interval brings, and one older file beside it. */
export function openServerLog(file: string, { maxBytes = MAX_BYTES } = {}): ServerLog {
  const descriptor = openSync(file, 'a', 0o600);
  shorten(file, maxBytes);
  const timer = setInterval(() => shorten(file, maxBytes), CHECK_EVERY_MILLISECONDS);
  timer.unref();
  return {
    descriptor,
    tail: () => readFileSync(file, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n'),
    close() {
      clearInterval(timer);
      closeSync(descriptor);
    },
  };
}

/** Copied and cut, not renamed: whoever has it open for appending goes on at its new end. */
export function shorten(file: string, maxBytes: number): void {
  try {
    if (statSync(file).size <= maxBytes) return;
    copyFileSync(file, `${file}.1`);
    truncateSync(file);
  } catch {
    // a full disk, a removed folder: the log is the last thing to fail over
  }
}
