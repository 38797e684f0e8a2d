/** A running broker and the sample resource server, as clients that others wrote find them. */
import { type CryptoKey, importJWK } from 'jose';
import type { Configuration } from '../../src/config/configuration.ts';
import { silentLog } from '../../src/errors/log.ts';
import { readDevelopmentKey } from '../../src/sample/development-key.ts';
import { startResourceServer } from '../../src/sample/resource-server.ts';
import { systemClock } from '../../src/time/clock.ts';
import { createPlace, startDevelopmentBroker } from '../sample/development-broker.ts';

export type ClientWorld = Awaited<ReturnType<typeof startClientWorld>>;

export const AGENT = 'report-writer';
export const ACTION = 'db:read:customers';

export async function startClientWorld() {
  const place = await createPlace();
  const broker = await startDevelopmentBroker(place);
  const { configuration } = place;
  const resourceServer = await startResourceServer({ configuration, log: silentLog, clock: systemClock });
  await resourceServer.brokerFound;
  return {
    issuer: configuration.issuer,
    /** What its metadata says that it is. */
    resource: resourceServer.url,
    customersUrl: `${resourceServer.url}/customers`,
    agentKey: await privateKey(AGENT, configuration),
    resourceKey: await privateKey('customers', configuration),
    async stop() {
      await resourceServer.stop();
      await broker.stop();
      await place.remove();
    },
  };
}

async function privateKey(name: string, configuration: Configuration) {
  const jwk = readDevelopmentKey(name, configuration);
  return { jwk, kid: jwk.kid, key: (await importJWK(jwk, 'ES256')) as CryptoKey };
}
