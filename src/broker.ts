/**
 * Starts a broker and stops it: what is started is stopped in the opposite order, also when a later step of the
 * start fails. Every dependency is made here once and handed to whoever needs it.
 */
import { clientsOf } from './agents/client.ts';
import { createAuditStore } from './audit/audit-store.ts';
import { createRefusalRecorder } from './audit/refusal-recorder.ts';
import { openAuditLog } from './audit-log.ts';
import { startAuditSinks } from './audit-sinks.ts';
import { startAwsDenies, vouchesAtAws } from './aws-parts.ts';
import { followCatalogue } from './catalogue/active-catalogue.ts';
import type { Catalogue } from './catalogue/catalogue.ts';
import { createCatalogueStore } from './catalogue/catalogue-store.ts';
import type { Configuration } from './config/configuration.ts';
import { connectDatabase } from './database/connections.ts';
import { connectOnce } from './database/pool.ts';
import { askDatabase, keepAuditDays, makePartitions } from './database/upkeep.ts';
import type { Log } from './errors/log.ts';
import { requireFittingCatalogue } from './fitting-catalogue.ts';
import { createHealth } from './health.ts';
import { startHousekeeping } from './housekeeping.ts';
import { createMetrics } from './http/metrics.ts';
import { createRequestBounds, rateLimitsFor } from './http/rate-bound.ts';
import { buildDrills } from './kill-switch-parts.ts';
import { openLedger } from './ledger.ts';
import { listen, requireFreePorts } from './listen.ts';
import { registerGauges } from './metrics-routes.ts';
import { developmentKeysOf, keyEncryptionKeys, prepareDatabase } from './prepare-start.ts';
import { createIdentityCheck } from './revocations/identity-store.ts';
import { createLedgerTrust } from './revocations/ledger-trust.ts';
import { createKeyRing } from './signing-keys/key-ring.ts';
import type { SinkDeclaration } from './sinks/sink-declaration.ts';
import type { Clock } from './time/clock.ts';
import { createVerifierListStore } from './verifiers/verifier-list-store.ts';

export type Broker = {
  issuer: string;
  /** Where it listens, e.g. `http://127.0.0.1:8420`. */
  url: string;
  metricsUrl: string;
  /** Settles when the embedded database ended by itself: the broker is of no use any more. */
  databaseEnded: Promise<void>;
  /** Drains, then stops everything that was started. */
  stop(): Promise<void>;
};

export type BrokerOptions = {
  configuration: Configuration;
  catalogue: Catalogue;
  /** Where the audit log is streamed to. */
  sinks?: readonly SinkDeclaration[];
  log: Log;
  clock: Clock;
  /** Lines of the log that could not be written. */
  logLost?: () => number;
};

/** @throws when anything is not as it has to be; the message says what to do */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { configuration, catalogue, sinks: declarations = [], log, clock, logLost = () => 0 } = options;
  requireFittingCatalogue(configuration, catalogue);
  await using starting = new AsyncDisposableStack();

  await requireFreePorts(configuration);
  const prepared = await prepareDatabase(options);
  starting.defer(prepared.stop);
  const metrics = createMetrics({ logLost });
  const trust = createLedgerTrust({ log, onAlarm: metrics.ledgerAlarm, clock });
  const database = connectDatabase({ url: prepared.applicationUrl, log, admit: createIdentityCheck(trust) });
  starting.defer(database.close);
  await database.reserved.open();
  await makePartitions(database.kysely);
  await keepAuditDays(database.kysely, configuration.auditRetentionDays);

  const ring = await createKeyRing({
    pool: database.pool,
    kek: await keyEncryptionKeys(configuration),
    rotationSeconds: configuration.signingKeyRotationSeconds,
    webIdentity: vouchesAtAws(catalogue),
    clock,
    log,
  });
  starting.defer(ring.close);

  const active = await followCatalogue({ catalogue, store: createCatalogueStore(database.kysely), log });
  const ledger = await openLedger({
    url: prepared.applicationUrl,
    database,
    issuer: configuration.issuer,
    ring,
    trust,
    log,
    clock,
  });
  starting.defer(ledger.close);
  const onUndescribed = ({ id, action }: { id: string; action: string }) => {
    metrics.auditUndescribed();
    log.error({ entry: id, action }, 'an entry of the audit log is not as such entries are described');
  };
  const recorder = createRefusalRecorder({
    store: createAuditStore(database.kysely, { onUndescribed }),
    clock,
    log,
    onLost: metrics.auditLost,
  });
  starting.defer(() => recorder.writeFolded({ all: true }));
  const sinks = startAuditSinks({
    declarations,
    connect: { url: prepared.applicationUrl, log, admit: createIdentityCheck(trust) },
    log,
    clock,
    metrics: metrics.sinks(declarations.map(({ name }) => name)),
  });
  starting.defer(sinks.close);
  const audit = openAuditLog({
    issuer: configuration.issuer,
    connect: () =>
      connectOnce({
        url: prepared.applicationUrl,
        applicationName: 'mayfly audit log',
        log,
        admit: createIdentityCheck(trust),
      }),
    database,
    ring,
    witnesses: configuration.witnesses,
    log,
    clock,
    onKept: sinks.wake,
    onUndescribed,
  });
  starting.defer(audit.close);
  const drills = buildDrills({ configuration, catalogue: active, database, ledger, ring, log, clock });
  starting.defer(drills.close);
  const awsDenies = startAwsDenies({ configuration, catalogue, database, log, clock });
  starting.defer(awsDenies.close);
  const health = createHealth({
    askDatabase: () => askDatabase(database.kysely),
    requireSigningKey: ring.tokenSigner,
    catalogue: active,
    ledger,
    describeDrills: drills.watch.describe,
    describeSinks: sinks.describe,
    describeLog: audit.watch.describe,
    clock,
  });
  const housekeeping = startHousekeeping({
    catalogue: active,
    recorder,
    database,
    tokenRetentionHours: configuration.tokenRetentionHours,
    auditRetentionDays: configuration.auditRetentionDays,
    log,
  });
  starting.defer(housekeeping.stop);

  const clients = clientsOf(catalogue, developmentKeysOf(configuration, catalogue));
  const bounds = createRequestBounds({ clock, limits: rateLimitsFor(configuration.rates) });
  const capabilities = {
    configuration,
    catalogue: active,
    clients,
    database,
    ledger,
    ring,
    bounds,
    recorder,
    health,
    metrics,
    drills,
    audit: audit.routes,
    log,
    clock,
  };
  const { streams, ...listeners } = await listen(capabilities, log, starting);
  const { summarize: verifiers } = createVerifierListStore(database.kysely);
  registerGauges({
    drills: drills.watch,
    sinks,
    auditLog: audit.watch,
    awsDenies,
    silentWitnesses: () => audit.witnesses.silent().length,
    metrics,
    health,
    ring,
    ledger,
    verifiers,
    streams,
    tls: configuration.tls,
    clock,
  });

  const started = starting.move();
  return {
    issuer: configuration.issuer,
    ...listeners,
    databaseEnded: prepared.ended,
    async stop() {
      health.drain();
      await started.disposeAsync();
    },
  };
}
