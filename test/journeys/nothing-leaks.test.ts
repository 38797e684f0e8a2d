/**
 * FLT-24: whatever is asked of a broker, when it is over nothing of it is left: memory, open files and connections are
 * what they were. Hours of it are the soak's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { CUSTOMERS, createFleet, READ_CUSTOMERS } from './fleet.ts';

/** Tells its collector to do its work when it is asked to. */
const COLLECT = `
  import { setFlagsFromString } from 'node:v8';
  import { runInNewContext } from 'node:vm';
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  process.on('SIGUSR2', () => { collect(); process.stderr.write('collected\\n'); });`;

const [ROUNDS, REQUESTS] = soakFactor() === 1 ? [2, 240] : [20, 2_000];
/** What caches that are bounded may still gain, and the noise of a collector. */
const MAX_GROWTH_BYTES = 1_000_000;
const MAX_CONNECTIONS = 22;

const fleet = await createFleet({
  brokers: 1,
  verifiers: [],
  settings: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(COLLECT)}` },
});
const [broker] = fleet.brokers;
const url = fleet.urls[0] ?? '';
const agent = fleet.world.agent({ url }, 'report-writer');
const server = fleet.world.resourceServer({ url }, CUSTOMERS);
const sessions = Array.from({ length: 20 }, () => newSessionKey());

async function readMetrics(): Promise<{ heap: number; files: number; connections: number }> {
  const collections = () => broker?.output().split('collected').length ?? 0;
  const before = collections();
  broker?.child.kill('SIGUSR2');
  await until(() => collections() > before, 'the garbage is collected');
  const metrics = new URL('/metrics', url);
  metrics.port = String(Number(metrics.port) + 9);
  const text = await (await fetch(metrics)).text();
  const read = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  const [row] = await fleet.world.query<{ n: number }>(
    `select count(*)::integer as n from pg_stat_activity
      where datname = current_database() and application_name like 'mayfly%'`,
  );
  return {
    heap: read('mayfly_nodejs_heap_size_used_bytes') + read('mayfly_nodejs_external_memory_bytes'),
    files: read('mayfly_process_open_fds'),
    connections: row?.n ?? 0,
  };
}

/** Good requests and bad ones, and streams that nobody reads to their end. */
async function ask(n: number): Promise<void> {
  const session = sessions[n % sessions.length] as (typeof sessions)[0];
  switch (n % 8) {
    case 0:
      await agent.token(session, { scope: 'db:made:up' });
      return;
    case 1:
      await agent.request(session, { client_assertion: 'nonsense' });
      return;
    case 2: {
      const assertion = { Authorization: `Bearer ${server.assertion()}`, Accept: 'text/event-stream' };
      const gone = new AbortController();
      await fetch(`${url}/v1/revocations?since=0`, { headers: assertion, signal: gone.signal });
      gone.abort();
      return;
    }
    case 3:
      await fetch(`${url}/v1/nothing/of/this/name?n=${n}`).then((response) => response.text());
      return;
    default: {
      const { body } = await agent.token(session, { scope: READ_CUSTOMERS.action });
      const token: string = body.access_token;
      await server.post('/oauth/introspect', server.authenticated({ token }));
      await agent.post('/oauth/revoke', agent.authenticated({ token }));
    }
  }
}

async function askMany(): Promise<void> {
  for (let n = 0; n < REQUESTS; n += 16) {
    await Promise.all(Array.from({ length: 16 }, (_, index) => ask(n + index)));
  }
}

test('FLT-24: after thousands of requests, good and bad, memory, files and connections are what they were', async () => {
  await askMany(); // what is made once is made
  const before = await readMetrics();
  for (let round = 0; round < ROUNDS; round += 1) await askMany();
  let after = await readMetrics();
  const isOver = async () => {
    after = await readMetrics();
    const isClosed = after.files <= before.files + 4 && after.connections <= MAX_CONNECTIONS;
    return isClosed && after.heap < before.heap + MAX_GROWTH_BYTES;
  };
  await until(isOver, 'it is over').catch(() => {}); // what leaks stays; what is on its way goes
  assert.ok(after.files <= before.files + 4, 'connections of those who went away are closed');
  assert.ok(after.connections <= MAX_CONNECTIONS, `${after.connections} connections to the database`);
  assert.ok(
    after.heap < before.heap + MAX_GROWTH_BYTES,
    `${after.heap - before.heap} bytes more after ${ROUNDS * REQUESTS} requests`,
  );
  process.stdout.write(`# ${JSON.stringify({ before, after })}\n`);
});
