/** The nonces that servers gave out, by origin: each has its own, and the newest counts (RFC 9449 §8.2). */
export type Nonces = {
  of(origin: string): string | undefined;
  /** @returns whether there is another one than before */
  learn(origin: string, headers: Headers): boolean;
};

const MAX_ORIGINS = 200;
/** RFC 9449 §8.1: NQCHAR. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/;

export function createNonces(): Nonces {
  const newest = new Map<string, string>();
  return {
    of: (origin) => newest.get(origin),
    learn(origin, headers) {
      const nonce = headers.get('dpop-nonce') ?? '';
      if (!NONCE.test(nonce) || newest.get(origin) === nonce) return false;
      newest.delete(origin);
      newest.set(origin, nonce);
      const [oldest = ''] = newest.keys();
      if (newest.size > MAX_ORIGINS) newest.delete(oldest);
      return true;
    },
  };
}
