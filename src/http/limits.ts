/**
 * Every bound of the edge, in one place. A limit that cannot be read as a whole number above zero stops the
 * start: a size of "16kilo" or NaN would otherwise compare as "no limit".
 */
export type HttpLimits = {
  /** A longer body is answered 413 before it is parsed. */
  bodyBytes: number;
  /** How much of a refused body is read and thrown away, so that its sender gets to read the refusal. */
  discardedBytes: number;
  formParameters: number;
  formValueCharacters: number;
  /** Addresses of X-Forwarded-For that are looked at, from the right. */
  forwardedHops: number;
  /** Request line and headers together. */
  headerBytes: number;
  headersMilliseconds: number;
  requestMilliseconds: number;
  keepAliveMilliseconds: number;
  /** Without a byte in either direction: ends who never reads the answer. */
  idleSocketMilliseconds: number;
  handshakeMilliseconds: number;
  /** How often the three limits of time above are looked at. */
  connectionCheckMilliseconds: number;
  requestsPerSocket: number;
  connections: number;
};

export const HTTP_LIMITS: Readonly<HttpLimits> = Object.freeze({
  bodyBytes: 65_536,
  discardedBytes: 1_048_576,
  formParameters: 256,
  formValueCharacters: 16_384,
  forwardedHops: 32,
  headerBytes: 16_384,
  headersMilliseconds: 10_000,
  requestMilliseconds: 15_000,
  keepAliveMilliseconds: 5_000,
  idleSocketMilliseconds: 30_000,
  handshakeMilliseconds: 10_000,
  connectionCheckMilliseconds: 1_000,
  requestsPerSocket: 1_000,
  connections: 10_000,
});

/**
 * The given limits, the others as in {@link HTTP_LIMITS}.
 * @throws {RangeError} that names every limit which is not a whole number above zero
 */
export function httpLimits(given: Partial<HttpLimits> = {}): HttpLimits {
  const limits: HttpLimits = { ...HTTP_LIMITS, ...given };
  const wrong = Object.entries(limits).filter(([, limit]) => !(Number.isSafeInteger(limit) && limit > 0));
  if (wrong.length > 0) {
    throw new RangeError(`not a whole number above zero: ${wrong.map(([name]) => name).join(', ')}`);
  }
  return limits;
}
