/**
 * The sample resource server: `GET /customers`, `POST /exports` and the tools at `/mcp`, behind verifiers of their own. It listens
 * at once and looks for the broker meanwhile; until there is one, every request is refused with 503.
 */
import type { Configuration } from '../config/configuration.ts';
import type { Log } from '../errors/log.ts';
import { createListener } from '../http/listener.ts';
import type { Clock } from '../time/clock.ts';
import { repeat } from '../time/repeat.ts';
import {
  createProofMemory,
  createVerifier,
  type ProofMemory,
  resourceMetadataUrl,
  type Verifier,
} from '../verifier/index.ts';
import { readDevelopmentKey } from './development-key.ts';
import { createSampleApplication } from './sample-routes.ts';

export type ResourceServer = {
  url: string;
  /** Resolves when the broker has been found; never while there is none. */
  brokerFound: Promise<void>;
  stop(): Promise<void>;
};

const HOST = '127.0.0.1';
const SEARCH_MILLISECONDS = 1_000;
const DRAIN_MILLISECONDS = 2_000;

/** The audiences that the catalogue declares, by the name of the file that does. */
const AUDIENCES = {
  customers: 'https://customers.example.com',
  storage: 'https://storage.example.com',
  tools: 'https://tools.example.com',
};

/**
 * @throws {SampleError} when the broker never ran with this data directory
 * @throws {ListenError} when the port is taken
 */
export async function startResourceServer(options: {
  configuration: Configuration;
  log: Log;
  clock: Clock;
}): Promise<ResourceServer> {
  const { configuration, log, clock } = options;
  const { samplePort: port } = configuration;
  const url = `http://${HOST}:${port}`;
  const shared = { ...options, url, proofs: createProofMemory({ clock }) };
  const customers = playResource('customers', { ...shared, resource: url });
  const storage = playResource('storage', { ...shared, resource: `${url}/exports` });
  const tools = playResource('tools', { ...shared, resource: `${url}/mcp` });
  const listener = createListener({
    app: createSampleApplication({ customers, storage, tools }),
    host: HOST,
    port,
    portSetting: 'MAYFLY_SAMPLE_PORT',
    log,
    clock,
  });
  const verifiers = [customers, storage, tools];
  const close = () => Promise.all(verifiers.map((verifier) => verifier.close()));
  try {
    await listener.listen();
  } catch (error) {
    await close();
    throw error;
  }
  const search = searchBroker(verifiers, log);
  return {
    url,
    brokerFound: search.found,
    async stop() {
      await search.stop();
      await listener.drain({ withinMilliseconds: DRAIN_MILLISECONDS });
      await close();
    },
  };
}

function playResource(
  name: keyof typeof AUDIENCES,
  options: {
    configuration: Configuration;
    log: Log;
    clock: Clock;
    url: string;
    resource: string;
    proofs: ProofMemory;
  },
): Verifier {
  const { configuration, resource, url, proofs, log, clock } = options;
  return createVerifier({
    issuer: configuration.issuer,
    resource: AUDIENCES[name],
    key: readDevelopmentKey(name, configuration),
    publicUrl: url,
    resourceMetadataUrl: resourceMetadataUrl(resource),
    noncePolicy: configuration.noncePolicy,
    proofs,
    log,
    clock,
  });
}

function searchBroker(
  verifiers: readonly Verifier[],
  log: Log,
): { found: Promise<void>; stop(): Promise<void> } {
  const { promise: found, resolve } = Promise.withResolvers<void>();
  let toldAbsence = false;

  async function look(): Promise<void> {
    await Promise.all(verifiers.map((verifier) => verifier.ready()));
    resolve();
  }

  function onFailure(error: unknown): void {
    if (toldAbsence) return;
    toldAbsence = true;
    const because = error instanceof Error ? error.message : String(error);
    log.warn({ because }, 'no broker yet: requests are refused with 503 until there is one');
  }

  // Only to tell when it is found: a verifier looks for its broker by itself.
  const search = repeat({ everyMilliseconds: SEARCH_MILLISECONDS, task: look, onFailure });
  look().catch(onFailure);
  found.then(() => search.stop());
  return { found, stop: search.stop };
}
