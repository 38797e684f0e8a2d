/**
 * Aborted by the first signal that asks us to stop, with its name as the reason. Later ones are swallowed: a
 * terminal sends Ctrl-C to npm and to us, and npm passes its own on, so a second one does not mean that somebody
 * is impatient.
 */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(name));
  }
  return controller.signal;
}
