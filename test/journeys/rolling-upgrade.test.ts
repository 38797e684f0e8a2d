/**
 * FLT-20: the next version is rolled out under load, and back. Its migration runs first (every migration keeps the
 * version before it working), brokers are replaced one by one, and whoever asks another broker when one goes away is
 * never refused.
 */
import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { migrate, migrationState } from '../../src/database/migrate.ts';
import { MIGRATIONS_FOLDER } from '../../src/database/migration-file.ts';
import { silentLog } from '../../src/errors/log.ts';
import { freePort, startBrokerProcess, until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createEmptyDatabase } from '../test-database.ts';
import { CUSTOMERS, createFleet, type Minted, READ_CUSTOMERS } from './fleet.ts';

/** What a next version may do to tables that are in use. */
const NEXT = `-- A migration as a later version may bring it.
alter table tokens add column noted text;
alter table sessions add column noted text;
alter table revocations add column noted text;
create index sessions_noted on sessions (noted) where noted is not null;
create table notes (id text not null primary key, written_at timestamptz not null default now());
grant select, insert on notes to mayfly_app;
`;

const folder = await mkdtemp(join(tmpdir(), 'mayfly-migrations-'));
after(() => rm(folder, { recursive: true, force: true }));
await cp(fileURLToPath(MIGRATIONS_FOLDER), folder, { recursive: true });
const known = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
const next = `${String(known.length + 1).padStart(4, '0')}-next`;
await writeFile(join(folder, `${next}.sql`), NEXT);
const newer = pathToFileURL(`${folder}/`);

const fleet = await createFleet({ verifiers: [{ resource: CUSTOMERS }] });
const servers = fleet.urls.map((url) => fleet.world.resourceServer({ url }, CUSTOMERS));

type Load = { served: number; retried: number; failed: string[]; defects: string[] };

/** As a front does it: another broker when one refuses the connection, or says that it is stopping. */
async function askEither<Answer extends { status: number; text?: string }>(
  load: Load,
  ask: (at: number) => Promise<Answer>,
  first: number,
): Promise<Answer | null> {
  for (const at of [first, 1 - first, first]) {
    const answer = await ask(at).catch(() => null);
    if (answer !== null && answer.status >= 500 && answer.status !== 503)
      load.defects.push(String(answer.text));
    if (answer?.status === 200) {
      load.served += 1;
      return answer;
    }
    load.retried += 1;
  }
  load.failed.push('at neither');
  return null;
}

function startLoad() {
  const load: Load = { served: 0, retried: 0, failed: [], defects: [] };
  let isOver = false;
  const lane = async (_: unknown, first: number) => {
    while (!isOver) {
      const session = newSessionKey();
      const minted = await askEither(
        load,
        async (at) => fleet.agents[at]?.token(session, { scope: READ_CUSTOMERS.action }) as Promise<Minting>,
        first % 2,
      );
      if (minted === null) continue;
      const token = minted.body.access_token;
      const seen = await askEither(
        load,
        async (at) => {
          const server = servers[at] as (typeof servers)[0];
          return server.post('/oauth/introspect', server.authenticated({ token }));
        },
        first % 2,
      );
      if (seen?.body.active !== true) load.failed.push('a good token is called inactive');
      const used: Minted = { session, token, use: READ_CUSTOMERS };
      const said = await fleet.everywhere(used);
      if (said.some((each) => each !== 'granted')) load.failed.push(`a verifier says ${said}`);
    }
  };
  const lanes = Array.from({ length: 3 }, lane);
  return {
    load,
    /** So many more are served. */
    goesOn: (more: number) => {
      const enough = load.served + more;
      return until(() => load.served >= enough || load.failed.length > 0, 'it goes on', 60_000);
    },
    async stop() {
      isOver = true;
      await Promise.all(lanes);
    },
  };
}

type Minting = Awaited<ReturnType<(typeof fleet.agents)[0]['token']>>;

async function replace(at: number): Promise<void> {
  const running = fleet.brokers.filter(({ child }) => child.exitCode === null && child.signalCode === null);
  const url = fleet.urls[at] ?? '';
  const urls = await Promise.all(running.map((each) => each.url));
  const old = running[urls.indexOf(url)];
  old?.child.kill('SIGTERM');
  assert.deepEqual(await old?.exited, { code: 0, signal: null });
  await fleet.startBroker({ MAYFLY_PORT: new URL(url).port });
}

test('FLT-20, RAC-16: a migration under load, then every broker replaced: nobody who may is refused', async (t) => {
  const { load, goesOn, stop } = startLoad();
  t.after(stop);
  await goesOn(30);
  const { ownerUrl, applicationUrl: url } = fleet.world.database;
  assert.deepEqual(await migrate({ ownerUrl, folder: newer, log: silentLog }), [next]);
  await goesOn(30);
  assert.equal(load.retried, 0, 'while it ran nobody had to ask twice');
  for (const at of [0, 1]) {
    await replace(at); // this version, which does not know that migration: as after a step back
    await goesOn(30);
  }
  await stop();
  assert.deepEqual([load.failed, load.defects], [[], []]);
  assert.deepEqual((await migrationState({ url, log: silentLog })).newer, [next]);
});

test('FLT-20: a broker of the next version does not start on the schema of the one before, and says what is missing', async (t) => {
  const before = await mkdtemp(join(tmpdir(), 'mayfly-migrations-'));
  t.after(() => rm(before, { recursive: true, force: true }));
  await cp(fileURLToPath(MIGRATIONS_FOLDER), before, { recursive: true });
  const [last = ''] = known.slice(-1);
  await rm(join(before, last));
  const { ownerUrl, applicationUrl } = await createEmptyDatabase(t);
  await migrate({ ownerUrl, folder: pathToFileURL(`${before}/`), log: silentLog });
  const broker = startBrokerProcess({
    settings: {
      ...fleet.world.environment(),
      DATABASE_URL: applicationUrl,
      MAYFLY_PORT: String(await freePort()),
    },
  });
  const { code } = await broker.exited;
  assert.notEqual(code, 0);
  assert.match(broker.output(), new RegExp(`lacks 1 migration.*${last.replace('.sql', '')}`));
  assert.match(broker.output(), /mayfly migrate/);
});
