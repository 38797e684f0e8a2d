/**
 * `npm run bench:audit`: lines of the record are written as fast as is asked for, while two brokers mint, and one of
 * them keeps the log. How old is a line when a signed head covers it? By the database's clock alone: from the begin of
 * the transaction that wrote the line to that of the one that kept the head.
 *
 * Afterwards the whole log is read: each line has one place, none is left out, and all heads are of one history.
 */
import { cpus, release } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createExaminationStore } from '../../src/audit/examination-store.ts';
import { createLogExaminer } from '../../src/audit/examine-log.ts';
import { parseVerifierKey } from '../../src/audit/verifier-key.ts';
import { createPool, type Pool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';
import { median } from './report.ts';
import { type BenchServer, startMayfly } from './servers.ts';
import { openStage, type Stage } from './stage.ts';

const USAGE = 'npm run bench:audit -- [--rate <100 to 100000>] [--seconds <1 to 300>]';
const WRITERS = 4;
const BATCHES_PER_SECOND = 10;
const PERCENTILES = [0.5, 0.95, 0.99, 1];

type Options = { rate: number; seconds: number };
type Minted = { milliseconds: number[] };

try {
  process.stdout.write(await run(readOptions(process.argv.slice(2))));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
process.exit(); // whatever was started has been stopped

async function run(options: Options): Promise<string> {
  await using started = new AsyncDisposableStack();
  const stage = await openStage();
  started.defer(stage.close);
  const brokers = await startBrokers(stage, started);
  const pool = createPool({
    url: stage.databaseUrls.mayfly,
    size: WRITERS,
    applicationName: 'bench',
    log: silentLog,
    statementTimeoutMilliseconds: 0,
  });
  started.defer(() => pool.end());
  const minting = new AbortController();
  const mints = brokers.map((broker) => mintUntil(minting.signal, stage, broker));
  const startedAt = performance.now();
  const written = await Promise.all(Array.from({ length: WRITERS }, () => write(pool, options)));
  const seconds = (performance.now() - startedAt) / 1_000;
  minting.abort();
  const minted = await Promise.all(mints);
  await stage.untilLogged();
  const lines = written.reduce((sum, count) => sum + count, 0);
  return report({
    options,
    lines,
    seconds,
    minted,
    ages: await readAges(pool),
    log: await examine(pool, brokers),
  });
}

async function startBrokers(
  stage: Stage,
  started: AsyncDisposableStack,
): Promise<[BenchServer, BenchServer]> {
  const settings = { MAYFLY_DPOP_NONCE: 'optional' };
  const first = await startMayfly(stage, undefined, settings);
  started.defer(first.program.stop);
  const second = await startMayfly(stage, undefined, { ...settings, MAYFLY_ISSUER: first.target.issuer });
  started.defer(second.program.stop);
  return [first, { ...second, target: { ...second.target, issuer: first.target.issuer } }];
}

/** As the refusal recorder writes them: many lines in one statement, each statement a transaction. */
async function write(pool: Pool, { rate, seconds }: Options): Promise<number> {
  const batches = seconds * BATCHES_PER_SECOND;
  const size = Math.round(rate / WRITERS / BATCHES_PER_SECOND);
  const startedAt = performance.now();
  for (let batch = 0; batch < batches; batch += 1) {
    const ids = Array.from({ length: size }, () => newIdentifier('aud', systemClock));
    await pool.query({
      name: 'write_lines',
      text: `
        insert into audit_entries (id, action, outcome, reason, request_id, actor, details)
        select id, 'token.refused', 'refused', 'proof_replayed', 'req_' || substr(id, 5), 'report-writer',
               '{"route": "/oauth/token", "source": "192.0.2.1"}'
          from unnest($1::text[]) as id`,
      values: [ids],
    });
    const ahead = ((batch + 1) * 1_000) / BATCHES_PER_SECOND - (performance.now() - startedAt);
    if (ahead > 0) await delay(ahead);
  }
  return batches * size;
}

async function mintUntil(stopped: AbortSignal, stage: Stage, broker: BenchServer): Promise<Minted> {
  const { port, issuer } = broker.target;
  const clientId = 'report-writer';
  const url = `http://127.0.0.1:${port}`;
  const agent = createTestAgent({ url, issuer, clientId, key: stage.keyOf(clientId) });
  const session = newSessionKey();
  const milliseconds: number[] = [];
  while (!stopped.aborted) {
    const startedAt = performance.now();
    const { status, body } = await agent.token(session);
    if (status !== 200) throw new Error(`a mint was answered ${status}: ${JSON.stringify(body)}`);
    milliseconds.push(performance.now() - startedAt);
  }
  return { milliseconds };
}

/** Of every line, in seconds: p50, p95, p99 and the oldest. */
async function readAges(pool: Pool): Promise<number[]> {
  const { rows } = await pool.query<{ ages: number[] }>(
    `select percentile_disc($1::float8[]) within group (order by extract(epoch from c.at - e.at)::float8) as ages
       from audit_leaves l
       join audit_entries e on e.day = l.day and e.id = l.entry_id
      cross join lateral (select at from audit_checkpoints where size > l.leaf_index order by size limit 1) as c
      where e.action in ('token.refused', 'token.minted')`,
    [PERCENTILES],
  );
  return rows[0]?.ages ?? [];
}

async function examine(pool: Pool, [broker]: readonly [BenchServer, BenchServer]): Promise<string> {
  const url = `http://127.0.0.1:${broker.target.port}/v1/audit/keys`;
  const { origin, keys } = (await (await fetch(url)).json()) as { origin: string; keys: { vkey: string }[] };
  const { rows } = await pool.query<{ lines: number; places: number; last: number; heads: number }>(
    `select (select count(*) from audit_entries)::int as lines, (select count(*) from audit_leaves)::int as places,
            (select max(leaf_index) + 1 from audit_leaves)::int as last,
            (select count(*) from audit_checkpoints)::int as heads`,
  );
  const { lines = 0, places = -1, last = -1, heads = 0 } = rows[0] ?? {};
  if (lines !== places || places !== last) throw new Error(`${lines} lines, ${places} places up to ${last}`);
  const published = keys.map(({ vkey }) => parseVerifierKey(vkey));
  const examiner = createLogExaminer({
    store: createExaminationStore(pool),
    origin,
    keys: async () => published,
  });
  const { fault } = await examiner.examine();
  if (fault !== null) throw new Error(`${fault.table} at ${fault.index}: ${fault.why}`);
  return `${places} entries, each with one place and none left out, under ${heads} signed heads of one history.`;
}

function report(found: {
  options: Options;
  lines: number;
  seconds: number;
  minted: readonly Minted[];
  ages: readonly number[];
  log: string;
}): string {
  const { options, lines, seconds, minted, ages, log } = found;
  const mints = minted.flatMap(({ milliseconds }) => milliseconds).toSorted((one, other) => one - other);
  const p99 = mints[Math.floor(mints.length * 0.99)] ?? Number.NaN;
  const cells = [
    options.rate,
    Math.round(lines / seconds),
    ...ages.map((age) => age.toFixed(2)),
    mints.length,
  ];
  const mintCells = [median(mints).toFixed(1), p99.toFixed(1)];
  const processors = cpus();
  return [
    `Machine: ${processors[0]?.model ?? 'unknown processor'}, ${processors.length} cores, Linux ${release()}; ` +
      `Node ${process.versions.node}, Postgres with fsync on; two brokers, one database.`,
    '',
    '| entries/s asked for | written | until a signed head: p50 s | p95 s | p99 s | longest s | tokens meanwhile | p50 ms | p99 ms |',
    '|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    `| ${[...cells, ...mintCells].join(' | ')} |`,
    '',
    log,
    'Repeat it with `npm ci && npm run bench:audit`.',
    '',
  ].join('\n');
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({ args, options: { rate: { type: 'string' }, seconds: { type: 'string' } } });
  const rate = Number(values.rate ?? '10000');
  const seconds = Number(values.seconds ?? '10');
  const isFine = rate >= 100 && rate <= 100_000 && seconds >= 1 && seconds <= 300;
  if (!Number.isInteger(rate) || !Number.isInteger(seconds) || !isFine) throw new Error(USAGE);
  return { rate, seconds };
}
