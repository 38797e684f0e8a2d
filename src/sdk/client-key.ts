/** The private key by which an agent or an operator is known, as mayfly writes it to files: a JWK with a `kid`. */
export type ClientKey = { kty: string; crv: string; x: string; y?: string; d: string; kid: string };

const NEEDED = ['kty', 'crv', 'x', 'd', 'kid'] as const;

/** The message names what is missing, and nothing of what is there. */
export class ClientKeyError extends Error {
  override readonly name = 'ClientKeyError';
}

/** @throws {ClientKeyError} */
export function parseClientKey(text: string): ClientKey {
  const value = parsed(text);
  const missing = NEEDED.filter((name) => typeof value[name] !== 'string');
  if (missing.length > 0) throw new ClientKeyError(`a private JWK has to have ${missing.join(', ')}`);
  return value as ClientKey;
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // what the parser says would repeat a part of the key
  }
  throw new ClientKeyError('the key is no JSON object');
}
