/**
 * What Prometheus reads. Names begin with `mayfly_`, units are base units, and no label ever takes a value from a
 * request: the number of series is the same with six agents and with a million.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = {
  registry: Registry;
  /** @param route the path as the table of contents writes it, never as it came in */
  answered(route: string, status: number): void;
  refused(reason: string): void;
  minted(batchSize: number, seconds: number): void;
  auditLost(entries: number): void;
  auditUndescribed(): void;
  /** @param alarm one of a closed set */
  ledgerAlarm(alarm: string): void;
  /** What sinks of the audit log count. @param names as they are declared: the values of a label */
  sinks(names: readonly string[]): {
    sent(sink: string, entries: number): void;
    failed(sink: string): void;
    parked(sink: string, entries: number): void;
  };
  /** A number that is asked for when Prometheus comes by. */
  gauge(name: string, help: string, read: () => number | Promise<number>): void;
  /** One for each value of a label, all of them declared somewhere. */
  gauges(named: {
    name: string;
    help: string;
    label: string;
    read: () => Promise<readonly (readonly [value: string, number])[]>;
  }): void;
};

/** @param options.logLost how many lines of the log could not be written so far */
export function createMetrics({ logLost = () => 0 }: { logLost?: () => number } = {}): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'mayfly_' });
  const registers = [registry];
  const answers = new Counter({
    name: 'mayfly_http_answers_total',
    help: 'Answers by route and status',
    labelNames: ['route', 'status'],
    registers,
  });
  const refusals = new Counter({
    name: 'mayfly_refusals_total',
    help: 'Refusals by reason, the same closed set as in the audit log',
    labelNames: ['reason'],
    registers,
  });
  const tokens = new Counter({ name: 'mayfly_tokens_minted_total', help: 'Tokens minted', registers });
  const statements = new Histogram({
    name: 'mayfly_mint_statement_seconds',
    help: 'Duration of the mint statement',
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
    registers,
  });
  const lost = new Counter({
    name: 'mayfly_audit_lost_total',
    help: 'Refusals that could not be recorded',
    registers,
  });
  const undescribed = new Counter({
    name: 'mayfly_audit_undescribed_total',
    help: 'Entries that are not as entries of their action are described',
    registers,
  });
  new Counter({
    name: 'mayfly_log_lost_total',
    help: 'Lines of the log that could not be written',
    registers,
    collect() {
      this.reset();
      this.inc(logLost());
    },
  });
  const alarms = new Counter({
    name: 'mayfly_ledger_alarms_total',
    help: 'Signs that the ledger of this database is not the one that others know',
    labelNames: ['alarm'],
    registers,
  });
  const ofSinks = { labelNames: ['sink'], registers };
  const sinkSent = new Counter({
    name: 'mayfly_audit_sink_sent_total',
    help: 'Entries of the audit log that a receiver has taken',
    ...ofSinks,
  });
  const sinkFailures = new Counter({
    name: 'mayfly_audit_sink_failures_total',
    help: 'Attempts to send entries of the audit log that came to nothing',
    ...ofSinks,
  });
  const sinkParked = new Counter({
    name: 'mayfly_audit_sink_parked_total',
    help: 'Entries of the audit log that a receiver would not take and that were put aside',
    ...ofSinks,
  });
  return {
    registry,
    answered: (route, status) => answers.inc({ route, status }),
    refused: (reason) => refusals.inc({ reason }),
    minted(batchSize, seconds) {
      tokens.inc(batchSize);
      statements.observe(seconds);
    },
    auditLost: (entries) => lost.inc(entries),
    auditUndescribed: () => undescribed.inc(),
    ledgerAlarm: (alarm) => alarms.inc({ alarm }),
    sinks(names) {
      for (const counter of [sinkSent, sinkFailures, sinkParked]) {
        for (const sink of names) counter.inc({ sink }, 0);
      }
      return {
        sent: (sink, entries) => sinkSent.inc({ sink }, entries),
        failed: (sink) => sinkFailures.inc({ sink }),
        parked: (sink, entries) => sinkParked.inc({ sink }, entries),
      };
    },
    gauges({ name, help, label, read }) {
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        async collect() {
          this.reset();
          for (const [value, number] of await read()) this.set({ [label]: value }, number);
        },
      });
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await read());
        },
      });
    },
  };
}
