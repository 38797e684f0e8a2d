/** A text or some bytes from outside are not in the form that they claim to be in. Says what was expected. */
export class AuditFormatError extends Error {
  override readonly name = 'AuditFormatError';
}
