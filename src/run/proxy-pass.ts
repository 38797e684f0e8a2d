/** Who may use the proxy: the program of this run, which finds name and password in its environment. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { refuseRequest } from './proxy-refusal.ts';

export type ProxyPass = {
  /** For the environment of the program alone. */
  addressAt(port: number): string;
  /** @throws {ProxyRefusal} unless the request comes from it */
  require(request: IncomingMessage): void;
};

const NAME = 'run';
const BYTES = 32;
const BASIC = /^basic +([A-Za-z0-9+/=]+)$/i;

export function createProxyPass(): ProxyPass {
  const password = randomBytes(BYTES).toString('base64url');
  const expected = digest(Buffer.from(`${NAME}:${password}`));
  return {
    addressAt: (port) => `http://${NAME}:${password}@127.0.0.1:${port}`,
    require({ headersDistinct }) {
      const [field = '', ...others] = headersDistinct['proxy-authorization'] ?? [];
      const told = Buffer.from(BASIC.exec(field)?.[1] ?? '', 'base64');
      if (!timingSafeEqual(digest(told), expected) || others.length > 0) refuseRequest('credentials_missing');
    },
  };
}

function digest(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}
