/** FLT: the database is away, silent, full of locks, read-only or another's; the clock is wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import pg from 'pg';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { asSuperuser } from '../test-cluster.ts';
import { expectSafeAnswer } from './after-checks.ts';
import { createDatabaseProxy, type ProxyMode } from './database-proxy.ts';
import { createStage } from './oracle.ts';
import type { Answer, Attempt } from './raw-request.ts';

/** More than the longest timeout of a broker (a statement whose answer is lost, 7 s, and its line in the record, 1 s). */
const PATIENCE_MILLISECONDS = 12_000;

const CALL = {
  type: 'mayfly_call',
  action: 'storage:write:exports',
  method: 'POST',
  url: 'https://storage.example.com/exports',
  arguments_digest: Buffer.alloc(32).toString('base64url'),
};

/** A database of its own, a broker behind a proxy, and everything that a broker is asked. */
async function createFaultStage() {
  const world = await createTestWorld();
  const proxy = await createDatabaseProxy(world.database);
  const stage = await createStage({ world, settings: { DATABASE_URL: proxy.applicationUrl } });
  const resource = stage.resourceNamed('https://customers.example.com');
  const storage = stage.resourceNamed('https://storage.example.com');
  const introspect = (token: string): Attempt => ({
    path: '/oauth/introspect',
    fields: resource.authenticated({ token }),
  });
  const revoke = (token: string): Attempt => ({
    path: '/oauth/revoke',
    fields: stage.agent.authenticated({ token }),
  });
  const consume = (jti: string): Attempt => ({
    path: `/v1/tokens/${jti}/consume`,
    json: storage.authenticated({}),
  });

  async function liveToken(fields: NonNullable<Attempt['fields']> = {}): Promise<string> {
    const answer = await stage.mint({ key: newSessionKey(), fields });
    assert.equal(answer.status, 200, answer.text);
    return answer.body.access_token;
  }

  /** Good requests to everything that asks the database. */
  async function decisions() {
    const token = await liveToken();
    const details = { scope: undefined, authorization_details: JSON.stringify([CALL]) };
    const jti = decodeJwt(await liveToken(details)).jti ?? '';
    return {
      mint: () => stage.tokenRequest(),
      'mint in a new session': () => stage.tokenRequest({ key: newSessionKey() }),
      introspect: () => introspect(token),
      revoke: () => revoke(token),
      consume: () => consume(jti),
    };
  }

  return {
    ...stage,
    world,
    proxy,
    introspect,
    revoke,
    liveToken,
    decisions,
    untilMinting: () => until(async () => (await stage.mint()).status === 200, 'it mints again by itself'),
    endConnections: () =>
      asSuperuser(world.database.socketDirectory, async (client) => {
        await client.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and application_name like 'mayfly%'`,
          [world.database.name],
        );
      }),
    /** As the owner of the database, in a connection of its own. */
    async asOwner(work: (client: pg.Client) => Promise<void>): Promise<void> {
      const client = new pg.Client(world.database.ownerUrl);
      await client.connect();
      try {
        await work(client);
      } finally {
        await client.end();
      }
    },
  };
}

type FaultStage = Awaited<ReturnType<typeof createFaultStage>>;

function expectUnavailable(answer: Answer, what: string): void {
  assert.equal(answer.status, 503, `${what}: ${answer.status} ${answer.text}`);
  assert.equal(answer.body.code, 'temporarily_unavailable');
  assert.equal(answer.headers.get('retry-after')?.length, 1);
  assert.equal(answer.body.access_token, undefined);
  expectSafeAnswer(answer);
}

async function timed<Result>(work: () => Promise<Result>): Promise<{ result: Result; milliseconds: number }> {
  const start = performance.now();
  return { result: await work(), milliseconds: performance.now() - start };
}

/** Every decision is refused in time while it is so; each is made again, by the same broker, when it is over. */
async function expectRefusals(
  stage: FaultStage,
  { begin, end }: { begin: () => unknown; end: () => unknown },
): Promise<void> {
  const asks = await stage.decisions();
  const rows = await stage.ledger.countRows();
  await begin();
  try {
    const answers = await Promise.all(
      Object.entries(asks).map(async ([name, ask]) => ({ name, ...(await timed(() => stage.ask(ask()))) })),
    );
    for (const { name, result, milliseconds } of answers) {
      expectUnavailable(result, name);
      assert.ok(milliseconds < PATIENCE_MILLISECONDS, `${name} took ${Math.round(milliseconds)} ms`);
    }
  } finally {
    await end();
  }
  await stage.untilMinting();
  const after = await stage.ledger.countRows();
  assert.equal(after.consumed, rows.consumed, 'nothing was spent');
  assert.equal(after.revocations, rows.revocations, 'nothing was revoked');
  const introspection = await stage.ask(asks.introspect());
  assert.equal(introspection.body.active, true, introspection.text);
  for (const ask of [asks.consume, asks.revoke]) {
    const answer = await stage.ask(ask());
    assert.equal(answer.status, 200, answer.text);
  }
}

/** Most of these wait for a timeout of the broker, so they wait together. Each has a database of its own. */
describe('FLT: the database is not as it should be', { concurrency: true }, () => {
  for (const mode of ['cut', 'silent'] as const satisfies ProxyMode[]) {
    test(`the way to it is ${mode}: nothing is granted, and all is well again afterwards`, async () => {
      const stage = await createFaultStage();
      await expectRefusals(stage, {
        begin: () => stage.proxy.become(mode),
        end: () => stage.proxy.become('open'),
      });
      expectNoDefect(stage);
    });
  }

  test('while it is away, what needs none of it is answered, and readiness says why', async () => {
    const stage = await createFaultStage();
    stage.proxy.become('cut');
    for (const path of ['/livez', '/.well-known/jwks.json', '/.well-known/oauth-authorization-server']) {
      assert.equal((await stage.ask({ method: 'GET', path })).status, 200, path);
    }
    await until(async () => (await readiness(stage)).status === 503, 'it is not ready');
    assert.equal((await readiness(stage)).checks.database?.ok, false);
    stage.proxy.become('open');
    await until(async () => (await readiness(stage)).status === 200, 'it is ready again');
    expectNoDefect(stage);
  });

  for (const mode of ['cut', 'silent'] as const satisfies ProxyMode[]) {
    test(`while the way to it is ${mode}, what would be refused anyway is refused in its own words`, async () => {
      const stage = await createFaultStage();
      stage.proxy.become(mode);
      const wrong: [Attempt, string][] = [
        [stage.tokenRequest({ fields: { client_assertion: 'nonsense' } }), 'invalid_client'],
        [stage.tokenRequest({ dpop: 'nonsense' }), 'invalid_dpop_proof'],
        [stage.tokenRequest({ fields: { scope: 'db:made:up' } }), 'invalid_scope'],
      ];
      const answers = await Promise.all(wrong.map(([attempt]) => timed(() => stage.ask(attempt))));
      answers.forEach(({ result, milliseconds }, index) => {
        assert.equal(result.body.error, wrong[index]?.[1], result.text);
        assert.ok(milliseconds < PATIENCE_MILLISECONDS / 2, `${Math.round(milliseconds)} ms`);
      });
      stage.proxy.become('open');
      await stage.untilMinting();
      expectNoDefect(stage);
    });
  }

  test('the answer of a mint is lost: nobody has the token, it is on record, and a new assertion is served', async () => {
    const stage = await createFaultStage();
    assert.equal((await stage.mint()).status, 200);
    const before = await stage.ledger.countRows();
    const request = stage.tokenRequest();
    stage.proxy.become('deaf');
    expectUnavailable(await stage.ask(request), 'mint');
    stage.proxy.become('open');
    assert.equal(
      (await stage.ledger.countRows()).tokens - before.tokens,
      1,
      'it was committed, and will expire',
    );
    await stage.untilMinting();
    const again = await stage.ask(request);
    assert.ok(
      ['invalid_client', 'invalid_dpop_proof'].includes(again.body.error),
      'the same request is spent',
    );
    expectNoDefect(stage);
  });

  test('the answer of a revocation is lost: it is not called done, and can be done again', async () => {
    const stage = await createFaultStage();
    const token = await stage.liveToken();
    stage.proxy.become('deaf');
    expectUnavailable(await stage.ask(stage.revoke(token)), 'revoke');
    stage.proxy.become('open');
    await until(async () => (await stage.ask(stage.revoke(token))).status === 200, 'it can be revoked again');
    assert.equal((await stage.ask(stage.introspect(token))).body.active, false);
    expectNoDefect(stage);
  });

  test('REV-12: the ledger cannot be written: a revocation is refused whole, and the record does not say it was done', async () => {
    const stage = await createFaultStage();
    const token = await stage.liveToken();
    const request = stage.revoke(token);
    const before = await stage.ledger.countRows();
    await stage.asOwner(async (client) => {
      await client.query('begin');
      await client.query('select from revocation_head for update');
      const answer = await stage.ask(request);
      await client.query('rollback');
      expectUnavailable(answer, 'revoke');
      const entries = await stage.ledger.entriesOf(answer);
      assert.deepEqual(
        entries.filter(({ action }) => action === 'token.revoked'),
        [],
      );
    });
    assert.deepEqual(await stage.ledger.countRows(), before, 'nothing is spent either');
    assert.equal((await stage.ask(request)).status, 200, 'so the same request can be sent again');
    assert.equal((await stage.ask(stage.introspect(token))).body.active, false);
    expectNoDefect(stage);
  });

  for (const [id, table] of [
    ['AUD-02', 'audit_entries'],
    ['FLT-28', 'spent_jti'],
  ]) {
    test(`${id}: somebody holds a lock on ${table}: nothing is granted without it, and nobody waits long`, async () => {
      const stage = await createFaultStage();
      await stage.asOwner((client) =>
        expectRefusals(stage, {
          async begin() {
            await client.query('begin');
            await client.query(`lock table ${table} in access exclusive mode`);
          },
          end: () => client.query('rollback'),
        }),
      );
      expectNoDefect(stage);
    });
  }

  test('a statement that takes too long is given up', async () => {
    const stage = await createFaultStage();
    const { world } = stage;
    await world.query(
      `create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(30); return new; end $$`,
    );
    await world.query('create trigger slow before insert on spent_jti for each row execute function slow()');
    const before = await stage.ledger.countRows();
    const { result, milliseconds } = await timed(() => stage.ask(stage.tokenRequest()));
    await world.query('drop trigger slow on spent_jti');
    expectUnavailable(result, 'mint');
    assert.ok(milliseconds < PATIENCE_MILLISECONDS);
    assert.deepEqual(await stage.ledger.countRows(), before);
    await stage.untilMinting();
    expectNoDefect(stage);
  });

  test('FLT-06: more requests than connections while each waits: 503, in time, and decisions at once afterwards', async () => {
    const stage = await createFaultStage();
    const token = await stage.liveToken();
    await stage.asOwner(async (client) => {
      await client.query('begin');
      await client.query('lock table audit_entries in access exclusive mode');
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => timed(() => stage.ask(stage.introspect(token)))),
      );
      await client.query('rollback');
      for (const { result, milliseconds } of answers) {
        expectUnavailable(result, 'introspect');
        assert.ok(milliseconds < PATIENCE_MILLISECONDS, `${Math.round(milliseconds)} ms`);
      }
    });
    assert.equal((await stage.ask(stage.introspect(token))).body.active, true);
    expectNoDefect(stage);
  });

  test('it has become read-only: it is not believed, and is used again when it is not', async () => {
    const stage = await createFaultStage();
    const { socketDirectory, name } = stage.world.database;
    const set = (value: string) =>
      asSuperuser(socketDirectory, (client) => client.query(`alter database ${name} ${value}`));
    await expectRefusals(stage, {
      async begin() {
        await set('set default_transaction_read_only = on');
        await stage.endConnections();
      },
      end: () => set('reset default_transaction_read_only'),
    });
    expectNoDefect(stage);
  });

  test('AUD-02: a mint whose entry cannot be written grants nothing', async () => {
    const stage = await createFaultStage();
    await stage.world.query(
      `alter table audit_entries add constraint nothing_minted check (action <> 'token.minted') not valid`,
    );
    const before = await stage.ledger.countRows();
    const answer = await stage.ask(stage.tokenRequest({ key: newSessionKey() }));
    await stage.world.query('alter table audit_entries drop constraint nothing_minted');
    expectUnavailable(answer, 'mint');
    assert.deepEqual(await stage.ledger.countRows(), before);
    await stage.untilMinting();
  });

  test('there is no partition for the hour: nothing is granted, and making it is all it takes', async () => {
    const stage = await createFaultStage();
    await expectRefusals(stage, {
      async begin() {
        const hour = Math.floor(Date.now() / 3_600_000);
        for (const each of [hour, hour + 1]) await stage.world.query(`drop table spent_jti_${each}`);
      },
      end: () => stage.world.query('select make_partitions(48)'),
    });
    expectNoDefect(stage);
  });
});

test('FLT: every connection is ended again and again under load: tokens or 503, and each token is on record', async () => {
  const stage = await createFaultStage();
  const answers: Answer[] = [];
  let running = true;
  const lane = async () => {
    while (running) answers.push(await stage.ask(stage.tokenRequest({ key: newSessionKey() })));
  };
  const lanes = Array.from({ length: 8 }, lane);
  const minted = () => answers.filter(({ status }) => status === 200);
  for (let times = 0; times < 5 * soakFactor(); times += 1) {
    const enough = minted().length + 10;
    await until(() => minted().length >= enough, 'some more are minted');
    await stage.endConnections();
  }
  running = false;
  await Promise.all(lanes);
  for (const answer of answers) if (answer.status !== 200) expectUnavailable(answer, 'mint');
  const [row] = await stage.world.query<{ recorded: string; orphans: string }>(
    `select (select count(*) from audit_entries where action = 'token.minted' and token_id = any ($1)) as recorded,
            (select count(*) from tokens t
              where not exists (select from audit_entries e where e.token_id = t.jti)) as orphans`,
    [minted().map(({ body }) => decodeJwt(body.access_token).jti)],
  );
  assert.deepEqual(row, { recorded: String(minted().length), orphans: '0' });
  await stage.untilMinting();
  expectNoDefect(stage);
});

type Readiness = { status: number; checks: Record<string, { ok: boolean; detail?: string }> };

async function readiness({ broker }: Pick<FaultStage, 'broker'>): Promise<Readiness> {
  const response = await fetch(`${broker.url}/readyz`);
  const { checks } = (await response.json()) as Readiness;
  return { status: response.status, checks };
}

function expectNoDefect({ lines }: Pick<FaultStage, 'lines'>): void {
  assert.deepEqual(
    lines.filter((line) => line.includes('a request met a defect')),
    [],
  );
}

const skewedWorld = await createTestWorld();
describe('FLT-18: the clock of the broker is wrong', () => {
  const ahead = (seconds: number) => ({
    milliseconds: () => Date.now() + seconds * 1_000,
    monotonicMilliseconds: () => performance.now(),
  });
  for (const [seconds, ready] of [
    [0, true],
    [5, true],
    [-5, true],
    [20, false],
    [-20, false],
    [1_800, false],
  ] as const) {
    test(`by ${seconds} seconds: it is ${ready ? '' : 'not '}ready, and tokens go by the database`, async () => {
      const skewed = await createStage({ world: skewedWorld, clock: ahead(seconds) });
      const { status: readyStatus, checks } = await readiness(skewed);
      assert.equal(readyStatus, ready ? 200 : 503);
      assert.equal(checks.clock?.ok, ready);
      assert.match(
        checks.clock?.detail ?? '',
        /^\d+\.\d{3} s (ahead of|behind) the database$|^the same as the database$/,
      );
      const { body, status, text } = await skewed.mint();
      assert.equal(status, 200, text);
      const { iat, exp } = decodeJwt(body.access_token);
      assert.ok(Math.abs((iat ?? 0) - Date.now() / 1_000) < 5, 'iat is the database’s');
      assert.equal((exp ?? 0) - (iat ?? 0), body.expires_in);
      await skewed.broker.stop();
    });
  }

  for (const seconds of [-30 * 3_600, 80 * 3_600]) {
    test(`by ${seconds / 3_600} hours: nothing is granted, and it is no defect`, async () => {
      const skewed = await createStage({ world: skewedWorld, clock: ahead(seconds) });
      const before = await skewed.ledger.countRows();
      expectUnavailable(await skewed.ask(skewed.tokenRequest()), 'mint');
      assert.deepEqual(await skewed.ledger.countRows(), before);
      await skewed.broker.stop();
    });
  }
});
