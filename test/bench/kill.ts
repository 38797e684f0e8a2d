/**
 * `npm run bench:kill`: how long it takes from the commit of a kill until every verifier refuses, and what one kill
 * costs when much or little is alive.
 *
 * "Refused" is the moment at which a verifier has applied the entry, looked at each millisecond; a request with a
 * token that was good before is then decided, and has to be refused. The commit is the database's clock before it:
 * writing to disk counts.
 */
import { cpus, release, type } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ManagementAnswer } from '../test-operator.ts';
import { type Fleet, type KillStage, openKillStage, processesFor } from './kill-stage.ts';
import { measureIdle } from './measure.ts';
import { median } from './report.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    kills: { type: 'string', default: '100' },
    verifiers: { type: 'string', default: '1,50,200' },
    tokens: { type: 'string', default: '1000,100000,1000000' },
  },
});
const KILLS = values.quick ? 1 : Number(values.kills);
const FLEETS = values.quick ? [4] : values.verifiers.split(',').map(Number);
const TOKENS = values.quick ? [100] : values.tokens.split(',').map(Number);

/** A verifier acknowledges at once, but not more often than once a second: kills come one at a time. */
const PAUSE_MILLISECONDS = values.quick ? 0 : 1_100;

const TARGET = { kind: 'zone', id: 'analytics' };
const ENGAGE = 'mayfly:engage:kill-switch';
const RELEASE = 'mayfly:release:kill-switch';

type Reached = { instances: number; milliseconds: number[]; answers: number[] };

const say = (line: string) => process.stderr.write(`${line}\n`);

async function engage({ olivia }: KillStage, waitSeconds: number) {
  const order = { target: TARGET, reason: 'a benchmark', wait_seconds: waitSeconds };
  const { answer, milliseconds } = await whenAdmitted(async () => {
    const text = await olivia.token(ENGAGE);
    const proof = olivia.proof({ method: 'POST', path: '/v1/kill-switch', token: text });
    const startedAt = performance.now();
    const answer = await olivia.send({
      method: 'POST',
      path: '/v1/kill-switch',
      body: order,
      token: text,
      proof,
    });
    return { answer, milliseconds: performance.now() - startedAt };
  });
  requireDone(answer);
  return { ...answer.body, milliseconds };
}

async function releaseSwitch({ omar }: KillStage, id: string): Promise<void> {
  const { answer } = await whenAdmitted(async () => ({
    answer: await omar.post(`/v1/kill-switch/${id}/release`, RELEASE, { reason: 'a benchmark' }),
  }));
  requireDone(answer);
}

/** Whether everybody has said so by now is not what is measured here. */
function requireDone({ status, text }: ManagementAnswer): void {
  if (status !== 200 && status !== 202) throw new Error(text.slice(0, 300));
}

/** An operator is bounded too: what was refused for that is not measured, and tried again when it may be. */
async function whenAdmitted<Tried extends { answer: ManagementAnswer }>(
  attempt: () => Promise<Tried>,
): Promise<Tried> {
  for (;;) {
    const tried = await attempt();
    if (tried.answer.status !== 429) return tried;
    await delay(Number(tried.answer.headers.get('retry-after') ?? 1) * 1_000);
  }
}

async function headOf({ owner }: KillStage): Promise<number> {
  return Number((await owner.query('select epoch from revocation_head')).rows[0].epoch);
}

/** Every verifier accepts before the kill and refuses after it. */
async function killOnce(stage: KillStage, fleet: Fleet): Promise<{ reached: number; answered: number }> {
  const minted = await stage.mint();
  const requests = () => Array.from({ length: fleet.instances }, () => stage.requestWith(minted));
  expectAll(await fleet.decide(requests()), 'granted');
  const watched = fleet.watch(await headOf(stage));
  const { id, at, milliseconds } = await engage(stage, 30);
  const moments = await watched;
  expectAll(await fleet.decide(requests()), 'token_revoked');
  const released = fleet.watch(await headOf(stage));
  await releaseSwitch(stage, id);
  await released;
  await delay(PAUSE_MILLISECONDS);
  return { reached: Math.max(...moments) - Date.parse(at), answered: milliseconds };
}

function expectAll(decisions: readonly string[], expected: string): void {
  const other = decisions.find((decision) => decision !== expected);
  if (other !== undefined) throw new Error(`a verifier said ${other} instead of ${expected}`);
}

async function reach(stage: KillStage, instances: number): Promise<Reached> {
  say(`${instances} verifiers in ${processesFor(instances)} processes`);
  const fleet = await stage.startFleet(instances);
  const found: Reached = { instances, milliseconds: [], answers: [] };
  try {
    await killOnce(stage, fleet); // not measured
    for (let kill = 0; kill < KILLS; kill += 1) {
      const { reached, answered } = await killOnce(stage, fleet);
      found.milliseconds.push(reached);
      found.answers.push(answered);
    }
    say(`  refused everywhere after ${percentile(found.milliseconds, 0.5)} ms (median)`);
  } finally {
    await fleet.close();
  }
  return found;
}

/** Tokens of other sessions of that zone, as many as are said, alive for a quarter of an hour. */
async function fillTokens({ owner }: KillStage, count: number): Promise<void> {
  await owner.query('delete from tokens');
  await owner.query(
    `insert into sessions (id, agent_id, client_id, jkt, zone, opened_epoch, opened_at, expires_at)
     select 'ses_bench_' || $1 || '_' || n, a.id, a.name, 'jkt_' || $1 || '_' || n, 'analytics', h.epoch, now(),
            now() + interval '1 hour'
       from agents a cross join revocation_head h cross join generate_series(1, greatest($1 / 100, 1)) as n
      where a.name = 'report-writer'`,
    [count],
  );
  await owner.query(
    `insert into tokens (hour, jti, session_id, resource, scope, kid, epoch, issued_at, expires_at)
     select floor(extract(epoch from now()) / 3600)::integer, 'tok_bench_' || n,
            'ses_bench_' || $1 || '_' || 1 + n % greatest($1 / 100, 1), 'https://customers.example.com',
            'db:read:customers', 'kid', h.epoch, now(), now() + interval '900 seconds'
       from revocation_head h cross join generate_series(1, $1) as n`,
    [count],
  );
  await owner.query('vacuum analyze tokens');
  await owner.query('checkpoint').catch(() => {}); // the owner may not; then it comes when it comes
}

async function cost(stage: KillStage): Promise<{ tokens: number; milliseconds: number[] }[]> {
  const found = [];
  for (const tokens of TOKENS) {
    say(`${tokens} live tokens`);
    await fillTokens(stage, tokens);
    const milliseconds: number[] = [];
    for (let kill = 0; kill < KILLS + 5; kill += 1) {
      const { id, milliseconds: taken } = await engage(stage, 0);
      if (kill >= 5) milliseconds.push(taken);
      await releaseSwitch(stage, id);
    }
    found.push({ tokens, milliseconds });
  }
  return found;
}

function percentile(numbers: readonly number[], share: number): string {
  const sorted = numbers.toSorted((a, b) => a - b);
  return (sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN).toFixed(0);
}

function report(
  stage: KillStage,
  {
    reached,
    costs,
    idleShare,
  }: { reached: Reached[]; costs: Awaited<ReturnType<typeof cost>>; idleShare: number },
): string {
  const processors = cpus();
  const base = median(costs[0]?.milliseconds ?? []);
  return [
    `Machine: ${processors[0]?.model ?? 'unknown processor'}, ${processors.length} cores, ${type()} ${release()}; ` +
      `Node ${process.versions.node}, Postgres ${stage.postgresVersion} (fsync on). Two brokers, Postgres and all verifiers on it.`,
    `Before it began, ${(idleShare * 100).toFixed(0)} % of one core was busy with other things.`,
    '',
    '| verifiers | processes | kills | commit → refused everywhere: p50 ms | p95 ms | p99 ms | answer with `200`: p50 ms |',
    '|--:|--:|--:|--:|--:|--:|--:|',
    ...reached.map(
      ({ instances, milliseconds, answers }) =>
        `| ${instances} | ${processesFor(instances)} | ${milliseconds.length} | ${percentile(milliseconds, 0.5)} | ` +
        `${percentile(milliseconds, 0.95)} | ${percentile(milliseconds, 0.99)} | ${percentile(answers, 0.5)} |`,
    ),
    '',
    '| live tokens that it kills | one kill, median ms | compared |',
    '|--:|--:|--:|',
    ...costs.map(
      ({ tokens, milliseconds }) =>
        `| ${tokens.toLocaleString('en')} | ${median(milliseconds).toFixed(1)} | ${(median(milliseconds) / base).toFixed(2)} |`,
    ),
    '',
    'Repeat it with `npm ci && npm run bench:kill`.',
    '',
  ].join('\n');
}

const stage = await openKillStage();
try {
  const idleShare = await measureIdle(values.quick ? 100 : 3_000);
  const reached: Reached[] = [];
  for (const instances of FLEETS) reached.push(await reach(stage, instances));
  const costs = await cost(stage);
  process.stdout.write(`\n${report(stage, { reached, costs, idleShare })}`);
} finally {
  await stage.close();
}
process.exit();
