/**
 * Is this broker alive, and would it mint? Liveness asks nothing of anybody. Readiness asks the database once a
 * second at most, however many ask for it, and names each check, so that the answer says where to look.
 */
import type { ActiveCatalogue } from './catalogue/active-catalogue.ts';
import { Refusal } from './errors/refusal.ts';
import type { Answer } from './http/route.ts';
import type { Ledger } from './ledger.ts';
import { describeDistrust } from './revocations/ledger-trust.ts';
import type { Clock } from './time/clock.ts';

export type Check = { ok: boolean; detail?: string };
export type Readiness = { ready: boolean; checks: Readonly<Record<string, Check>> };

export type HealthRoutes = { live: () => Answer; ready: () => Promise<Answer> };

export type Health = HealthRoutes & {
  readiness(): Promise<Readiness>;
  /** Seconds by which this machine's clock is ahead of the database's; NaN before the first answer. */
  clockSkewSeconds(): number;
  /** From now on not ready: the load balancer is to send nothing more. */
  drain(): void;
};

/** Proofs, assertions and nonces are judged by this clock, tokens by the database's. */
const MAX_CLOCK_SKEW_SECONDS = 10;
const MIN_PARTITION_HOURS = 2;
const REMEMBERED_MILLISECONDS = 1_000;

export function createHealth(options: {
  askDatabase: () => Promise<{ nowMilliseconds: number; partitionHoursAhead: number }>;
  requireSigningKey: () => unknown;
  catalogue: ActiveCatalogue;
  ledger: Pick<Ledger, 'trust' | 'follower'>;
  /** What is to be said of the self-test of the kill switch. A missed one is no reason to send nobody here. */
  describeDrills: () => string;
  /** And of the sinks of the audit log: a receiver that is away is no reason either. */
  describeSinks: () => Promise<string>;
  /** Of the audit log. One that is not to be believed is an alarm, and no reason to stop recording in it. */
  describeLog: () => Promise<string>;
  clock: Clock;
}): Health {
  const { askDatabase, requireSigningKey, catalogue, ledger, clock } = options;
  const { describeDrills, describeSinks, describeLog } = options;
  let draining = false;
  let skewSeconds = Number.NaN;
  let remembered: { at: number; readiness: Promise<Readiness> } | null = null;

  async function databaseChecks(): Promise<Readiness['checks']> {
    const askedAt = clock.milliseconds();
    try {
      const { nowMilliseconds, partitionHoursAhead } = await askDatabase();
      skewSeconds = ((askedAt + clock.milliseconds()) / 2 - nowMilliseconds) / 1000;
      return {
        database: { ok: true },
        clock: {
          ok: Math.abs(skewSeconds) <= MAX_CLOCK_SKEW_SECONDS,
          detail: skewInWords(skewSeconds),
        },
        partitions: {
          ok: partitionHoursAhead >= MIN_PARTITION_HOURS,
          detail: `made for the next ${partitionHoursAhead} h`,
        },
      };
    } catch {
      return { database: { ok: false, detail: 'does not answer' } };
    }
  }

  async function examine(): Promise<Readiness> {
    const [ofDatabase, sinks] = await Promise.all([databaseChecks(), describeSinks()]);
    const checks = {
      ...ofDatabase,
      signing_key: signingKeyCheck(requireSigningKey),
      catalogue: catalogueCheck(catalogue),
      ledger: ledgerCheck(ledger),
      drill: { ok: true, detail: describeDrills() },
      sinks: { ok: true, detail: sinks },
      audit_log: { ok: true, detail: await describeLog() },
      ...(draining ? { draining: { ok: false, detail: 'stopping' } } : {}),
    };
    return { ready: Object.values(checks).every(({ ok }) => ok), checks };
  }

  function readiness(): Promise<Readiness> {
    const now = clock.monotonicMilliseconds();
    if (remembered === null || now - remembered.at > REMEMBERED_MILLISECONDS) {
      remembered = { at: now, readiness: examine() };
    }
    return remembered.readiness;
  }

  return {
    readiness,
    clockSkewSeconds: () => skewSeconds,
    live: () => ({ body: { status: 'alive' } }),
    async ready() {
      const { ready, checks } = await readiness();
      return { status: ready ? 200 : 503, body: { status: ready ? 'ready' : 'not ready', checks } };
    },
    drain() {
      draining = true;
      remembered = null;
    },
  };
}

function signingKeyCheck(requireSigningKey: () => unknown): Check {
  try {
    requireSigningKey();
    return { ok: true };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, detail: 'no key may sign' };
    throw error;
  }
}

function catalogueCheck(catalogue: ActiveCatalogue): Check {
  const applied = catalogue.applied();
  if (applied !== null) return { ok: true, detail: `version ${applied.version}` };
  return { ok: false, detail: 'the files of this broker are not the applied version; no agent gets a token' };
}

function ledgerCheck({ trust, follower }: Pick<Ledger, 'trust' | 'follower'>): Check {
  const distrusted = trust.distrusted();
  if (distrusted !== null) return { ok: false, detail: describeDistrust(distrusted) };
  return { ok: true, detail: `epoch ${follower.head()?.epoch ?? 0}` };
}

function skewInWords(seconds: number): string {
  const size = Math.abs(seconds).toFixed(3);
  if (Number.isNaN(seconds)) return 'not known';
  return Number(size) === 0
    ? 'the same as the database'
    : `${size} s ${seconds > 0 ? 'ahead of' : 'behind'} the database`;
}
