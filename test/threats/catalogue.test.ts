/** TOK-08, TOK-42, TOK-46, L24: the catalogue changes while agents ask and tokens live. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { until } from '../broker-process.ts';
import { soakFactor } from '../soak.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';
import { createTestWorld, TEST_ISSUER, type TestWorld } from '../test-broker.ts';
import { expectSafeAnswer } from './after-checks.ts';
import { type Edits, editedCatalogue, without } from './edited-scopes.ts';
import { createStage, type Stage } from './oracle.ts';
import type { Answer } from './raw-request.ts';

const REPORTER = 'agents/report-writer.yaml';
const CUSTOMERS = 'resources/customers.yaml';
const STORAGE = 'resources/storage.yaml';

const world = await createTestWorld();
const original = world.catalogue;
/** A broker with the files of the world. A running one would need its next look to see that they are applied again. */
const startStage = (catalogue = original) => createStage({ world, catalogue });

/** These files applied, and a broker that has them; the first ones again when the work is done. */
async function whileApplied(edits: Edits, work: (next: Stage) => Promise<void>): Promise<void> {
  const catalogue = await editedCatalogue(world, edits);
  await world.apply(catalogue);
  try {
    const next = await startStage(catalogue);
    await work(next);
    await next.broker.stop();
  } finally {
    await world.apply(original);
  }
}

type Readiness = { status: number; checks: Record<string, { ok: boolean; detail?: string }> };

async function readiness({ broker }: Stage): Promise<Readiness> {
  const response = await fetch(`${broker.url}/readyz`);
  const { checks } = (await response.json()) as Readiness;
  return { status: response.status, checks };
}

/** Housekeeping looks every few seconds. */
const untilDiffers = (at: Stage) =>
  until(async () => (await readiness(at)).status === 503, 'the broker sees that its files are not applied');

const orders = (at: Stage, key = newSessionKey()) => at.mint({ key, fields: { scope: 'db:read:orders' } });

async function isActive(at: Stage, token: string): Promise<boolean> {
  const resource = at.resourceNamed('https://customers.example.com');
  const { status, text, body } = await at.ask({
    path: '/oauth/introspect',
    fields: resource.authenticated({ token }),
  });
  assert.equal(status, 200, text);
  return body.active;
}

function expectDiffers(answer: Answer): void {
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.body.error, 'temporarily_unavailable');
  assert.equal(answer.body.code, 'catalogue_differs');
  assert.match(answer.body.error_description, /catalogue|scopes/);
  assert.equal(answer.headers.get('retry-after')?.length, 1);
  expectSafeAnswer(answer);
}

const takeOrders = { [REPORTER]: without('- db:read:orders') };

test('TOK-08: an action that was granted and then removed is refused, and its tokens are dead', async () => {
  const stage = await startStage();
  const key = newSessionKey();
  const before = await orders(stage, key);
  assert.equal(before.status, 200, before.text);
  await whileApplied(takeOrders, async (next) => {
    const refused = await orders(next);
    assert.equal(refused.body.error, 'invalid_scope', refused.text);
    assert.equal(await isActive(next, before.body.access_token), false);
    assert.equal(
      await isActive(stage, before.body.access_token),
      false,
      'at the broker of the old files too',
    );
    assert.equal((await next.mint({ key: newSessionKey() })).status, 200, 'what is left is granted');
    const old = await next.mint({ key });
    assert.equal(old.body.error, 'invalid_grant', 'the session that was opened before is over');
  });
  const again = await startStage();
  assert.equal(await isActive(again, before.body.access_token), false, 'granting it again raises no dead');
  assert.equal((await orders(again)).status, 200);
});

test('TOK-42: from the moment of the change the broker of the old files mints nothing, before it has looked', async () => {
  const stage = await startStage();
  await stage.mint();
  const catalogue = await editedCatalogue(world, takeOrders);
  await world.apply(catalogue);
  try {
    const rows = await stage.ledger.countRows();
    for (let times = 0; times < 10; times += 1) expectDiffers(await orders(stage));
    assert.deepEqual(await stage.ledger.countRows(), rows, 'nothing was written');
    await untilDiffers(stage);
    expectDiffers(await orders(stage));
    expectDiffers(await stage.mint());
    const { checks } = await readiness(stage);
    assert.equal(checks.catalogue?.ok, false);
    assert.match(checks.catalogue?.detail ?? '', /not the applied version/);
  } finally {
    await world.apply(original);
  }
});

test('L24: a broker of other files still revokes, introspects and spends', async () => {
  const stage = await startStage();
  const { body } = await orders(stage);
  const call = {
    type: 'mayfly_call',
    action: 'storage:write:exports',
    method: 'POST',
    url: 'https://storage.example.com/exports',
    arguments_digest: Buffer.alloc(32).toString('base64url'),
  };
  const single = await stage.mint({
    fields: { scope: undefined, authorization_details: JSON.stringify([call]) },
  });
  // Titles are no authority: nothing is revoked, but the files are others.
  await whileApplied(
    { [CUSTOMERS]: (text) => text.replace('title: Customer database', 'title: Customers') },
    async () => {
      await untilDiffers(stage);
      expectDiffers(await orders(stage));
      assert.equal(await isActive(stage, body.access_token), true);
      const storage = stage.resourceNamed('https://storage.example.com');
      const jti = decodeJwt(single.body.access_token).jti;
      const spent = await stage.ask({ path: `/v1/tokens/${jti}/consume`, json: storage.authenticated({}) });
      assert.equal(spent.status, 200, spent.text);
      const token = body.access_token;
      const revoked = await stage.ask({
        path: '/oauth/revoke',
        fields: stage.agent.authenticated({ token }),
      });
      assert.equal(revoked.status, 200, revoked.text);
      assert.equal(await isActive(stage, token), false);
    },
  );
});

test('TOK-42: of mints that race the change, none whose action was taken away is alive afterwards', async () => {
  for (let round = 0; round < soakFactor(); round += 1) {
    const stage = await startStage();
    const answers: Answer[] = [];
    const catalogue = await editedCatalogue(world, takeOrders);
    const minting = Promise.all(
      Array.from({ length: 120 }, async () => void answers.push(await orders(stage))),
    );
    await until(() => answers.length > 10, 'some are minted');
    await world.apply(catalogue);
    try {
      await minting;
      const minted = answers.filter(({ status }) => status === 200);
      for (const answer of answers.filter(({ status }) => status !== 200)) expectDiffers(answer);
      for (const { body } of minted) assert.equal(await isActive(stage, body.access_token), false);
    } finally {
      await world.apply(original);
      await stage.broker.stop();
    }
  }
});

describe('TOK-42: what a change takes away is over, and what is asked anew goes by the new files', () => {
  const inCustomers = (change: (text: string) => string): Edits => ({ [CUSTOMERS]: change });
  const ofOrders = (text: string, from: string, to: string) => {
    const start = text.indexOf('db:read:orders:');
    return `${text.slice(0, start)}${text.slice(start).replace(from, to)}`;
  };
  const changes: [string, Edits, string | null][] = [
    [
      'the action is for single calls now',
      inCustomers((text) => ofOrders(text, 'use: session', 'use: request')),
      'invalid_scope',
    ],
    [
      'the action needs an approval now',
      inCustomers((text) => ofOrders(text, 'approval: none', 'approval: one')),
      'approval_required',
    ],
    [
      'the action is more sensitive now',
      inCustomers((text) => ofOrders(text, 'sensitivity: LOW', 'sensitivity: MED')),
      null,
    ],
    [
      'tokens for the action live shorter now',
      inCustomers((text) => ofOrders(text, 'max: 900', 'max: 300')),
      null,
    ],
    [
      'the sessions of the agent are shorter now',
      { [REPORTER]: (text) => text.replace('session_seconds: 3600', 'session_seconds: 600') },
      null,
    ],
    [
      'the action is gone',
      {
        ...inCustomers((text) => {
          const start = text.indexOf('  db:read:orders:');
          return `${text.slice(0, start)}${text.slice(text.indexOf('  db:update:customers:'))}`;
        }),
        [REPORTER]: without('- db:read:orders'),
        'agents/support-assistant.yaml': without('- db:read:orders'),
      },
      'invalid_scope',
    ],
  ];
  for (const [name, edits, refusedAs] of changes) {
    test(name, async () => {
      const stage = await startStage();
      const before = await orders(stage);
      assert.equal(before.status, 200, before.text);
      await whileApplied(edits, async (next) => {
        assert.equal(await isActive(next, before.body.access_token), false);
        const after = await orders(next);
        if (refusedAs === null) assert.equal(after.status, 200, after.text);
        else assert.equal(after.body.error, refusedAs, after.text);
        expectSafeAnswer(after);
      });
    });
  }
});

test('TOK-46: an agent that is removed and declared again inherits nothing from its namesake', async () => {
  const stage = await startStage();
  const key = newSessionKey();
  const before = await orders(stage, key);
  const standIn: Edits = {
    [REPORTER]: () => null,
    'agents/stand-in.yaml': () => reporterText.replace('agent: report-writer', 'agent: stand-in'),
  };
  const reporterText = await originalText(world, REPORTER);
  await whileApplied(standIn, async (next) => {
    const gone = await orders(next);
    assert.equal(gone.body.error, 'invalid_client', 'the name is unknown');
    const by = createTestAgent({
      url: next.broker.url,
      issuer: TEST_ISSUER,
      clientId: 'stand-in',
      key: keyOfReporter(),
    });
    const other = await next.mint({ by, key: newSessionKey(), fields: { scope: 'db:read:orders' } });
    assert.equal(other.status, 200, 'whoever has the key may be somebody else by another review');
    assert.notEqual(decodeJwt(other.body.access_token).sub, decodeJwt(before.body.access_token).sub);
  });
  const again = await startStage();
  assert.equal(await isActive(again, before.body.access_token), false, 'the old token stays dead');
  const after = await orders(again, key);
  assert.equal(after.status, 200, after.text);
  const [old, fresh] = [decodeJwt(before.body.access_token), decodeJwt(after.body.access_token)];
  assert.notEqual(fresh.sub, old.sub, 'the internal id is another one');
  assert.notEqual(fresh.sid, old.sid, 'and so is the session, even of the same key');
  assert.equal(await isActive(again, after.body.access_token), true);
});

test('TOK-46: a key that was taken from an agent opens and continues nothing', async () => {
  const stage = await startStage();
  const before = await orders(stage);
  const replacement = newSessionKey().publicJwk;
  const declaration = JSON.stringify([{ ...replacement, kid: 'replacement', alg: 'ES256' }]);
  const edits = { [REPORTER]: (text: string) => text.replace(/^keys: .*$/m, `keys: ${declaration}`) };
  const catalogue = await editedCatalogue(world, edits);
  await world.apply(catalogue);
  try {
    const bare = await world.startBroker({ catalogue });
    const old = world.agent(bare, 'report-writer');
    const answer = await old.token(newSessionKey());
    assert.equal(answer.body.error, 'invalid_client');
    assert.equal(await isActive(stage, before.body.access_token), false);
  } finally {
    await world.apply(original);
  }
});

test('L24: a change that takes nothing away leaves tokens and sessions alive', async () => {
  const stage = await startStage();
  const key = newSessionKey();
  const before = await orders(stage, key);
  const wider: Edits = {
    [STORAGE]: (text) =>
      text.replace('lifetime: { default: 60, max: 120 }', 'lifetime: { default: 60, max: 180 }'),
  };
  await whileApplied(wider, async (next) => {
    assert.equal(await isActive(next, before.body.access_token), true);
    const again = await orders(next, key);
    assert.equal(again.body.session_id, before.body.session_id);
  });
});

async function originalText({ scopes }: TestWorld, file: string): Promise<string> {
  return readFile(`${scopes.directory}/${file}`, 'utf8');
}

function keyOfReporter() {
  const key = world.scopes.keys.get('report-writer');
  if (key === undefined) throw new Error('no key');
  return key;
}
