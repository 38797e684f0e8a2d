/** The port cannot be had; the message says what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}
