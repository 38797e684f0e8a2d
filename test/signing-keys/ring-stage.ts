/**
 * A real database, and brokers' rings on it whose clocks the test moves. Letting time pass moves every time in
 * the table into the past and the brokers' clocks forward, so that the database's own clock can stay real.
 */
import { randomBytes } from 'node:crypto';
import type { TestContext } from 'node:test';
import { createPool, type Pool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import type { KekConfiguration } from '../../src/signing-keys/key-encryption-key.ts';
import { createKeyOperations } from '../../src/signing-keys/key-operations.ts';
import { createKeyRing, type KeyRing } from '../../src/signing-keys/key-ring.ts';
import type { RotationPolicy } from '../../src/signing-keys/rotation-policy.ts';
import { createTestDatabase } from '../test-database.ts';

export type LogLine = { level: string; details: object; message: string };
export type Stage = Awaited<ReturnType<typeof openStage>>;

export const KEK: KekConfiguration = { current: randomBytes(32), previous: [] };

type StageOptions = { kek?: KekConfiguration; pool?: Pick<Pool, 'query'>; policy?: Partial<RotationPolicy> };

export async function openStage(t: TestContext) {
  const { applicationUrl, ownerUrl } = await createTestDatabase(t);
  const limits = { applicationName: 'signing-keys test', log: silentLog };
  const pool = createPool({ url: applicationUrl, size: 8, ...limits });
  const owner = createPool({ url: ownerUrl, size: 2, ...limits });
  const clock = createTestClock();
  const lines: LogLine[] = [];
  const rings: KeyRing[] = [];
  const ticks: (() => void)[] = [];

  t.after(async () => {
    await Promise.all(rings.map((ring) => ring.close()));
    await Promise.all([pool.end(), owner.end()]);
  });

  return {
    pool,
    owner,
    clock,
    lines,
    /** The polls that are due when the test says so. */
    ticks,
    async ring({ kek = KEK, pool: through = pool, policy }: StageOptions = {}): Promise<KeyRing> {
      const ring = await createKeyRing({
        ...policy,
        pool: through,
        kek,
        clock,
        log: recordingLog(lines),
        schedule: (work) => {
          ticks.push(work);
          return () => ticks.splice(ticks.indexOf(work), 1);
        },
      });
      rings.push(ring);
      return ring;
    },
    operations: ({ kek = KEK, pool: through = pool }: StageOptions = {}) =>
      createKeyOperations({ pool: through, kek, clock, actor: 'operator' }),
    /** Also for the brokers. They notice at their next poll, which is up to the test. */
    async letPass(seconds: number): Promise<void> {
      clock.advance(seconds);
      await owner.query(
        `update signing_keys set published_at = published_at - make_interval(secs => $1),
           active_from = active_from - make_interval(secs => $1), revoked_at = revoked_at - make_interval(secs => $1)`,
        [seconds],
      );
    },
    async rows<Row = Record<string, unknown>>(sql: string, values: unknown[] = []): Promise<Row[]> {
      return (await owner.query(sql, values)).rows as Row[];
    },
  };
}

/** Stands still until it is moved. The two clocks may be moved apart. */
function createTestClock() {
  const state = { wall: Date.now(), monotonic: 1_000 };
  return {
    milliseconds: () => state.wall,
    monotonicMilliseconds: () => state.monotonic,
    advance(seconds: number) {
      state.wall += seconds * 1000;
      state.monotonic += seconds * 1000;
    },
    jumpWall(seconds: number) {
      state.wall += seconds * 1000;
    },
    jumpMonotonic(seconds: number) {
      state.monotonic += seconds * 1000;
    },
  };
}

function recordingLog(lines: LogLine[]) {
  const record = (level: string) => (details: object, message: string) => {
    lines.push({ level, details, message });
  };
  return { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') };
}
