/** The ring cannot be used as it is configured or stored; the message is for the operator and says the way out. */
export class KeyRingError extends Error {
  override readonly name = 'KeyRingError';
}
