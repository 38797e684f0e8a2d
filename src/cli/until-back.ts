/** A command that follows something outlasts the restart of a broker. */
import { CommandFailure, EXIT } from './failure.ts';

const PATIENCE_MILLISECONDS = 30_000;

/**
 * The same look again while the broker is away or cannot decide, for half a minute.
 * @param onLost told once for each time that the broker goes away
 * @throws {CommandFailure} the last one, when it stays away; at once, when looking again would change nothing
 */
export async function untilBack<T>(
  look: () => Promise<T>,
  { pause, onLost }: { pause: () => Promise<void>; onLost: (failure: CommandFailure) => void },
): Promise<T> {
  let lostAt: number | undefined;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (lostAt === undefined) onLost(error);
      lostAt ??= performance.now();
      if (performance.now() - lostAt > PATIENCE_MILLISECONDS) throw error;
      await pause();
    }
  }
}

function isPassing(error: unknown): error is CommandFailure {
  if (!(error instanceof CommandFailure)) return false;
  return error.exitCode === EXIT.server || error.exitCode === EXIT.unreachable;
}
