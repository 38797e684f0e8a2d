import { X509Certificate } from 'node:crypto';
import type { LogWatch } from './audit/watch-log.ts';
import type { AuditSinks } from './audit-sinks.ts';
import type { AwsDenies } from './aws-parts.ts';
import type { TlsFiles } from './config/read-tls.ts';
import type { Health } from './health.ts';
import type { Metrics } from './http/metrics.ts';
import type { Route } from './http/route.ts';
import type { DrillWatch } from './kill-switch/drill-watch.ts';
import type { Ledger } from './ledger.ts';
import type { KeyRing } from './signing-keys/key-ring.ts';
import type { Clock } from './time/clock.ts';
import type { VerifierSummary } from './verifiers/verifier-list-store.ts';

/** The only route of the metrics port. */
export function metricsRoutes({ registry }: Metrics): Route[] {
  return [
    {
      method: 'GET',
      path: '/metrics',
      format: 'problem',
      may: 'whoever reaches the metrics port',
      answer: async () => ({
        headers: { 'Content-Type': registry.contentType },
        text: await registry.metrics(),
      }),
    },
  ];
}

export function registerGauges({
  metrics,
  health,
  ring,
  ledger,
  verifiers,
  streams,
  drills,
  sinks,
  auditLog,
  awsDenies,
  silentWitnesses,
  tls,
  clock,
}: {
  metrics: Metrics;
  health: Health;
  ring: KeyRing;
  ledger: Ledger;
  verifiers: () => Promise<VerifierSummary>;
  /** How many read the feed here. */
  streams: () => number;
  drills: DrillWatch;
  sinks: Pick<AuditSinks, 'lags'>;
  auditLog: LogWatch;
  awsDenies: Pick<AwsDenies, 'failing'>;
  silentWitnesses: () => number;
  tls: TlsFiles | undefined;
  clock: Clock;
}): void {
  const certificateEnds =
    tls === undefined ? Number.POSITIVE_INFINITY : new X509Certificate(tls.certificate).validToDate.getTime();
  metrics.gauge(
    'mayfly_certificate_remaining_seconds',
    'Seconds until the certificate of this broker ends; infinite when it has none',
    () => (certificateEnds - clock.milliseconds()) / 1_000,
  );
  metrics.gauge('mayfly_ready', '1 when /readyz says ready', async () =>
    (await health.readiness()).ready ? 1 : 0,
  );
  metrics.gauge(
    'mayfly_database_clock_skew_seconds',
    'Seconds by which the clock of this machine is ahead of the database',
    async () => {
      await health.readiness();
      return health.clockSkewSeconds();
    },
  );
  metrics.gauge('mayfly_signing_keys_age_seconds', 'Seconds since the ring of signing keys was read', () =>
    ring.copyAgeSeconds(),
  );
  metrics.gauge(
    'mayfly_ledger_age_seconds',
    'Seconds since this broker last read the head of the ledger',
    () => ledger.follower.ageSeconds(),
  );
  metrics.gauge(
    'mayfly_ledger_epoch',
    'Epoch of the ledger, as this broker knows it; 0 while it is not believed',
    () => ledger.follower.head()?.epoch ?? 0,
  );
  metrics.gauge('mayfly_feed_streams', 'Streams of the feed that are open at this broker', streams);
  metrics.gauge('mayfly_drill_missed', '1 when the last self-test of the kill switch was missed', () =>
    drills.missed() === true ? 1 : 0,
  );
  metrics.gauge(
    'mayfly_drill_age_seconds',
    'Seconds since the last self-test of the kill switch that was not failed',
    drills.ageSeconds,
  );
  metrics.gauge(
    'mayfly_drill_latency_seconds',
    'Seconds from the revocation of the last canary until every verifier was heard to refuse it',
    drills.latencySeconds,
  );
  registerSinkGauges(metrics, sinks);
  metrics.gauge(
    'mayfly_audit_log_entries',
    'Entries that have their places in the audit log',
    async () => (await auditLog.state()).entries,
  );
  metrics.gauge(
    'mayfly_audit_waiting_seconds',
    'Seconds since the oldest entry was written that no signed head of the audit log covers',
    async () => (await auditLog.state()).waitingSeconds,
  );
  metrics.gauge(
    'mayfly_audit_log_disagrees',
    '1 when the audit log was found to be another one than was signed or witnessed',
    async () => ((await auditLog.doubt()) === null ? 0 : 1),
  );
  metrics.gauge(
    'mayfly_audit_sound_age_seconds',
    'Seconds since all of the stored audit log was last compared with itself and nothing was wrong',
    async () => (await auditLog.state()).soundSeconds,
  );
  metrics.gauge(
    'mayfly_audit_witnesses_silent',
    'Witnesses that did not cosign when they were asked last',
    () => silentWitnesses(),
  );
  metrics.gauge(
    'mayfly_aws_denies_failing',
    'Roles at AWS where what was revoked is to be denied, or no longer, and the last attempt failed',
    awsDenies.failing,
  );
  const summary = rememberBriefly(verifiers, clock);
  metrics.gauge('mayfly_verifiers_live', 'Verifiers that hold a lease', async () => (await summary()).live);
  metrics.gauge(
    'mayfly_verifiers_lag_epochs',
    'Entries that the live verifier furthest behind has not said to have applied',
    async () => (await summary()).lagEpochs,
  );
  metrics.gauge(
    'mayfly_verifiers_lag_seconds',
    'Seconds since the oldest entry was written that some live verifier has not said to have applied',
    async () => (await summary()).lagSeconds,
  );
}

/** While the database is away there is no number, and Prometheus says so. */
function registerSinkGauges(metrics: Metrics, { lags }: Pick<AuditSinks, 'lags'>): void {
  const label = 'sink';
  const known = () => lags().catch(() => []);
  metrics.gauges({
    name: 'mayfly_audit_sink_lag_entries',
    help: 'Entries of the audit log that a sink has not delivered, nor put aside',
    label,
    read: async () => (await known()).map(({ name, entries }) => [name, entries]),
  });
  metrics.gauges({
    name: 'mayfly_audit_sink_lag_seconds',
    help: 'Seconds since the oldest of them was written',
    label,
    read: async () => (await known()).map(({ name, seconds }) => [name, seconds]),
  });
}

const NOT_KNOWN: VerifierSummary = { live: Number.NaN, lagEpochs: Number.NaN, lagSeconds: Number.NaN };
const REMEMBERED_MILLISECONDS = 1_000;

/** One question for all the gauges of one visit; while the database is away they are not known. */
function rememberBriefly(ask: () => Promise<VerifierSummary>, clock: Clock): () => Promise<VerifierSummary> {
  let remembered: { at: number; summary: Promise<VerifierSummary> } | null = null;
  return () => {
    const now = clock.monotonicMilliseconds();
    if (remembered === null || now - remembered.at > REMEMBERED_MILLISECONDS) {
      remembered = { at: now, summary: ask().catch(() => NOT_KNOWN) };
    }
    return remembered.summary;
  };
}
