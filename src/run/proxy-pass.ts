/** Who may use the proxy: the program of this run, which finds name and password in its environment. */
import type { IncomingMessage } from 'node:http';
import { refuseRequest } from './proxy-refusal.ts';
import { isSame, newSecret } from './secret.ts';

export type ProxyPass = {
  /** For the environment of the program alone. */
  addressAt(port: number): string;
  /** @throws {ProxyRefusal} unless the request comes from it */
  require(request: IncomingMessage): void;
};

const NAME = 'run';
const BASIC = /^basic +([A-Za-z0-9+/=]+)$/i;

export function createProxyPass(): ProxyPass {
  const nameAndPassword = `${NAME}:${newSecret()}`;
  return {
    addressAt: (port) => `http://${nameAndPassword}@127.0.0.1:${port}`,
    require({ headersDistinct }) {
      const [field = '', ...others] = headersDistinct['proxy-authorization'] ?? [];
      const told = Buffer.from(BASIC.exec(field)?.[1] ?? '', 'base64').toString('latin1');
      if (!isSame(told, nameAndPassword) || others.length > 0) refuseRequest('credentials_missing');
    },
  };
}
