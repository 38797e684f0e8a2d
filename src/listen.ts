/** The two ports of a broker: everybody's, and the one of the metrics. */
import { routesOf } from './app.ts';
import { buildCapabilities, type CapabilityOptions } from './capabilities.ts';
import type { Configuration } from './config/configuration.ts';
import { databaseUnavailable } from './database/database-error.ts';
import type { Log } from './errors/log.ts';
import { createHttpApplication } from './http/application.ts';
import { createListener, requireFreePort } from './http/listener.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { recordRefusal } from './refusal-record.ts';

/** Of a stop behind a front; one that is busy has asked on most of its connections by then. */
const LINGER_MILLISECONDS = 500;

/** Said before a database is made and migrated; whoever takes one of them meanwhile is found when it is bound. */
export async function requireFreePorts({ host, port, metrics }: Configuration): Promise<void> {
  await requireFreePort({ host, port, portSetting: 'MAYFLY_PORT' });
  await requireFreePort({ ...metrics, portSetting: 'MAYFLY_METRICS_PORT' });
}

/** @param starting is told how to stop what listens: nothing new is taken, what is under way is finished */
export async function listen(
  capabilities: CapabilityOptions,
  log: Log,
  starting: AsyncDisposableStack,
): Promise<{ url: string; metricsUrl: string; streams: () => number }> {
  const { configuration, catalogue, clients, recorder, bounds, metrics, clock } = capabilities;
  const { idle, drain: endStreams, streams, ...built } = buildCapabilities(capabilities);
  const { host, port, tls, issuer, trustedProxies, drainSeconds } = configuration;
  const lingerMilliseconds = trustedProxies.length > 0 ? LINGER_MILLISECONDS : 0;
  const drain = { withinMilliseconds: drainSeconds * 1000, lingerMilliseconds };

  const metricsListener = createListener({
    app: createHttpApplication({ routes: metricsRoutes(metrics), log, clock, https: false }),
    ...configuration.metrics,
    portSetting: 'MAYFLY_METRICS_PORT',
    log,
    clock,
  });
  const { url: metricsUrl } = await metricsListener.listen();
  starting.defer(() => metricsListener.drain({ withinMilliseconds: 0 }));

  const listener = createListener({
    app: createHttpApplication({
      routes: routesOf(built),
      log,
      clock,
      https: issuer.startsWith('https:'),
      trustedProxies,
      admit: bounds.admit,
      isUnavailable: databaseUnavailable,
      onRefusal(refused) {
        metrics.refused(refused.refusal.reason);
        return recordRefusal(refused, { recorder, clients, catalogue, issuer });
      },
      onAnswer: ({ route, status }) => metrics.answered(route?.path ?? 'none', status),
    }),
    host,
    port,
    portSetting: 'MAYFLY_PORT',
    tls,
    log,
    clock,
  });
  const { url } = await listener.listen();
  starting.defer(async () => {
    endStreams();
    await listener.drain(drain);
    await idle();
  });
  return { url, metricsUrl, streams };
}
