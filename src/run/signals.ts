/**
 * Signals on their way to the program. From the moment they are caught nothing ends us before the session is ended;
 * they go to whoever they are meant for at the time: the start, the program, or the end.
 */
import { isInForeground } from './terminal.ts';

/** SIGUSR1 also because Node would open its debugger for whoever sends it, with our memory in it. */
const CAUGHT = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** What a terminal sends to everybody in its foreground, so to the program, too. */
const FROM_TERMINALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];

type Receiver = (signal: NodeJS.Signals) => void;

export type Signals = {
  /** From now on they go there. Those that came before went to the one before. */
  sendTo(receiver: Receiver): void;
  /** Back to what they do by themselves. */
  release(): void;
};

export function catchSignals(first: Receiver): Signals {
  let receiver = first;
  const pass: Receiver = (signal) => receiver(signal);
  for (const name of CAUGHT) process.on(name, pass);
  return {
    sendTo(next) {
      receiver = next;
    },
    release() {
      for (const name of CAUGHT) process.off(name, pass);
    },
  };
}

/** Whether everybody in the foreground of our terminal got it. */
export function isFromTerminal(signal: NodeJS.Signals): boolean {
  return FROM_TERMINALS.includes(signal) && isInForeground();
}
