import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { applyCatalogue } from '../../src/revocations/apply-catalogue.ts';
import { revocationsOf } from '../../src/revocations/catalogue-revocations.ts';
import { ledgerKey } from '../../src/revocations/revocation.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { newDeclaredKey } from '../test-scopes.ts';

const world = await createTestWorld();
const broker = await world.startBroker();

/** The catalogue of this world with some text of one file replaced. */
async function edited(file: string, from: string | RegExp, to: string): Promise<Catalogue> {
  const path = join(world.scopes.directory, file);
  const before = await readFile(path, 'utf8');
  const after = before.replace(from, to);
  assert.notEqual(after, before, `${file} has nothing to replace`);
  await writeFile(path, after);
  const { catalogue, problems } = await loadCatalogue(world.scopes.directory);
  await writeFile(path, before);
  assert.ok(catalogue, JSON.stringify(problems));
  return catalogue;
}

const apply = (catalogue: Catalogue) =>
  applyCatalogue({ owner: world.owner, catalogue, actor: 'reviewer', clock: systemClock });

test('the same catalogue again changes nothing', async () => {
  assert.deepEqual(await apply(world.catalogue), { version: 1, changed: false, revocations: [] });
});

test('what a version takes away is revoked with it', async (t) => {
  const cases: [string, () => Promise<Catalogue>, string[]][] = [
    [
      'a grant',
      () => edited('agents/report-writer.yaml', '  - db:read:orders\n', ''),
      ['agent:report-writer'],
    ],
    [
      'a key',
      () => edited('agents/report-writer.yaml', /"kid":"[^"]+"/, '"kid":"another"'),
      ['agent:report-writer'],
    ],
    [
      'minutes of a session',
      () => edited('agents/report-writer.yaml', 'session_seconds: 3600', 'session_seconds: 600'),
      ['agent:report-writer'],
    ],
    [
      'seconds of an action',
      () =>
        edited(
          'resources/customers.yaml',
          '{ default: 300, max: 900 } # of',
          '{ default: 300, max: 600 } # of',
        ),
      ['action:db:read:customers'],
    ],
    [
      'sessions of an action',
      () => edited('resources/customers.yaml', 'use: session # session', 'use: request # session'),
      ['action:db:read:customers'],
    ],
    [
      'trust in an action',
      () => edited('resources/customers.yaml', 'sensitivity: LOW # LOW', 'sensitivity: MED # LOW'),
      ['action:db:read:customers'],
    ],
    [
      'nothing, but a title',
      () => edited('agents/report-writer.yaml', 'title: Writes', 'title: Composes'),
      [],
    ],
  ];
  for (const [what, change, expected] of cases) {
    await t.test(what, async () => {
      const keys = revocationsOf(world.catalogue, await change()).map(({ target }) => ledgerKey(target));
      assert.deepEqual(keys, expected);
    });
  }
});

test('a broker with other files than the applied ones mints nothing and says so, until it agrees again', async () => {
  const agent = world.agent(broker, 'report-writer');
  const session = newSessionKey();
  const before = await agent.token(session);
  assert.equal(before.status, 200);

  const narrower = await edited('agents/report-writer.yaml', '  - db:read:orders\n', '');
  const { version, revocations } = await apply(narrower);
  assert.equal(version, 2);
  assert.equal(revocations.length, 1);
  const refused = await agent.request(session);
  assert.deepEqual([refused.status, refused.body.error], [503, 'temporarily_unavailable']);
  assert.ok(refused.headers.get('retry-after'));
  assert.match(refused.body.hint, /scopes/);

  const customers = world.resourceServer(broker, 'https://customers.example.com');
  const seen = await customers.post(
    '/oauth/introspect',
    customers.authenticated({ token: before.body.access_token }),
  );
  assert.deepEqual(seen.body, { active: false }, 'the token of the wider grant is dead');

  await apply(world.catalogue);
  const other = await world.startBroker();
  const again = await world.agent(other, 'report-writer').token(session);
  assert.equal(again.body.code, 'session_ended', 'so is the session');
  assert.equal((await world.agent(other, 'report-writer').token(newSessionKey())).status, 200);
});

test('an agent that is declared again under its old name is another one', async () => {
  const idOf = async () =>
    (
      await world.query<{ id: string }>(
        `select id from agents where name = 'mail-less' and removed_at is null`,
      )
    )[0]?.id;
  const path = join(world.scopes.directory, 'agents', 'mail-less.yaml');
  const text = await readFile(join(world.scopes.directory, 'agents', 'report-writer.yaml'), 'utf8');
  const declaration = newDeclaredKey().declaration;
  await writeFile(
    path,
    text
      .replace('agent: report-writer', 'agent: mail-less')
      .replace(/^keys:.*$/m, `keys: [ ${declaration} ]`),
  );
  const { catalogue, problems } = await loadCatalogue(world.scopes.directory);
  assert.ok(catalogue, JSON.stringify(problems));
  await apply(catalogue);
  const first = await idOf();
  await apply(world.catalogue);
  assert.equal(await idOf(), undefined);
  await apply(catalogue);
  const second = await idOf();
  assert.ok(first && second && first !== second);
  await apply(world.catalogue);
  await rm(path);
});

test('two who apply at once both end up with what the last one wanted, and no revocation is lost', async () => {
  const narrower = await edited('agents/report-writer.yaml', '  - db:read:orders\n', '');
  const results = await Promise.all([
    apply(narrower),
    apply(world.catalogue),
    apply(narrower),
    apply(world.catalogue),
  ]);
  const versions = results.filter(({ changed }) => changed).map(({ version }) => version);
  assert.equal(new Set(versions).size, versions.length);
  const [active] = await world.query<{ count: string }>(
    'select count(*) from catalogue_versions where active',
  );
  assert.equal(active?.count, '1');
});
