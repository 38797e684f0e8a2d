import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { entryBytes, entryDocument } from '../../src/audit/entry-document.ts';
import { openHandOver } from '../../src/audit/hand-over.ts';
import { logKeyOf, type RingKey } from '../../src/audit/log-key.ts';
import {
  createLogStore,
  ENTRY_COLUMNS,
  type KeptCheckpoint,
  type LogStore,
} from '../../src/audit/log-store.ts';
import { verifyConsistency, verifyInclusion } from '../../src/audit/merkle-proof.ts';
import { leafHash, rootOfLeaves } from '../../src/audit/merkle-tree.ts';
import { createSequencer, LogDisagreesError } from '../../src/audit/sequencer.ts';
import { createStoredTree, MissingHashError } from '../../src/audit/tree-store.ts';
import { verifierKeyOf } from '../../src/audit/verifier-key.ts';
import { createPool, type Pool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { beforeDrop, createTestDatabase, type TestDatabase } from '../test-database.ts';

const ORIGIN = 'broker.example.com/v1/audit';

function newRingKey(kid: string): RingKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    kid,
    privateKey,
    publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  };
}

const vkeyOf = ({ publicKey }: RingKey) => verifierKeyOf({ name: ORIGIN, kind: 'log', publicKey });

type World = Awaited<ReturnType<typeof createWorld>>;

async function createWorld(t: { after(close: () => Promise<void>): void }) {
  const database: TestDatabase = await createTestDatabase();
  const options = { url: database.applicationUrl, applicationName: 'test', log: silentLog };
  const pool = createPool({ ...options, size: 6 });
  const owner = createPool({ ...options, url: database.ownerUrl, size: 1 });
  const close = async () => {
    await Promise.all([pool, owner].filter(({ ending }) => !ending).map((each) => each.end()));
  };
  t.after(close);
  beforeDrop(close);
  const store = createLogStore(pool);
  const tree = createStoredTree(pool);
  const key = newRingKey('first');
  const sequencer = (over: Partial<Parameters<typeof createSequencer>[0]> = {}) =>
    createSequencer({
      store,
      tree,
      key: () => logKeyOf(ORIGIN, { current: key, earlier: [] }),
      log: silentLog,
      batch: 50,
      ...over,
    });
  return { pool, owner, store, tree, key, sequencer };
}

async function addLines(pool: Pick<Pool, 'query'>, count: number): Promise<void> {
  const ids = Array.from({ length: count }, () => newIdentifier('aud', systemClock));
  await pool.query(
    `insert into audit_entries (id, action, outcome, details)
     select id, 'request.refused', 'refused', jsonb_build_object('n', n) from unnest($1::text[]) with ordinality as i (id, n)`,
    [ids],
  );
}

async function runAll(sequencer: ReturnType<World['sequencer']>): Promise<void> {
  for (let rounds = 0; !(await sequencer.run()).isDone; rounds += 1) assert.ok(rounds < 1_000);
}

/** What anybody can find out without us: from the lines as they lie there. */
async function recompute(pool: Pool): Promise<{ root: Buffer; count: number; unplaced: number }> {
  const { rows } = await pool.query(
    `select l.leaf_index::float8 as place, ${ENTRY_COLUMNS} from audit_entries e left join audit_leaves l on l.entry_id = e.id
      order by l.leaf_index`,
  );
  const placed = rows.filter(({ place }) => place !== null);
  assert.deepEqual(
    placed.map(({ place }) => place),
    placed.map((_, at) => at),
    'no gap and no double',
  );
  const leaves = placed.map((row) => leafHash(entryBytes(entryDocument(row))));
  return { root: rootOfLeaves(leaves), count: placed.length, unplaced: rows.length - placed.length };
}

/** Every head that was ever kept is signed, and each continues the one before it. */
async function expectOneHistory(
  world: Pick<World, 'pool' | 'tree'>,
  keys: readonly RingKey[],
): Promise<KeptCheckpoint> {
  const { rows } = await world.pool.query<KeptCheckpoint>(
    'select size::float8 as size, root, note, kid from audit_checkpoints order by audit_checkpoints.size',
  );
  for (const [at, { note, size, root }] of rows.entries()) {
    const opened = openCheckpoint(note, { origin: ORIGIN, keys: keys.map(vkeyOf) });
    assert.equal(opened.outcome, 'verified');
    assert.ok(
      opened.outcome === 'verified' && opened.checkpoint.size === size && opened.checkpoint.root.equals(root),
    );
    const before = rows[at - 1];
    if (before === undefined) continue;
    const proof = await world.tree.consistency({ first: before.size, second: size });
    const trees = { first: before.size, second: size, firstRoot: before.root, secondRoot: root };
    assert.ok(verifyConsistency({ ...trees, proof }));
  }
  const newest = rows.at(-1);
  assert.ok(newest !== undefined);
  const { root, count, unplaced } = await recompute(world.pool);
  assert.deepEqual([newest.size, unplaced], [count, 0]);
  assert.ok(newest.root.equals(root));
  return newest;
}

/** Once at the named step, and afterwards as if nothing had happened. */
function breakOnce(store: LogStore, step: 'append' | 'keepCheckpoint', when: 'before' | 'after'): LogStore {
  let isBroken = false;
  return {
    ...store,
    async [step](...given: never) {
      if (!isBroken && when === 'before') {
        isBroken = true;
        throw new Error(`stopped before ${step}`);
      }
      const done = await (store[step] as (...given: unknown[]) => Promise<boolean>)(...(given as unknown[]));
      if (!isBroken) {
        isBroken = true;
        throw new Error(`stopped after ${step}`);
      }
      return done;
    },
  };
}

test('lines get places, and the signed head is the root over what anybody reads in the table', async (t) => {
  const world = await createWorld(t);
  await addLines(world.pool, 620);
  await runAll(world.sequencer());
  await addLines(world.pool, 7);
  await runAll(world.sequencer());
  const { size, root } = await expectOneHistory(world, [world.key]);
  const { rows } = await world.pool.query(
    'select leaf_index::float8 as index, hash from audit_leaves order by leaf_index',
  );
  for (const { index, hash } of rows.filter((_, at) => at % 37 === 0)) {
    const proof = await world.tree.inclusion({ index, size });
    assert.ok(verifyInclusion({ index, size, leaf: hash, proof, root }));
  }
});

for (const step of ['append', 'keepCheckpoint'] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`a sequencer that stops right ${when} ${step} is continued by another one, without gap, double or fork`, async (t) => {
      const world = await createWorld(t);
      await addLines(world.pool, 20);
      await runAll(world.sequencer());
      await addLines(world.pool, 300);
      const broken = world.sequencer({ store: breakOnce(world.store, step, when) });
      await assert.rejects(runAll(broken), /^Error: stopped/);
      await addLines(world.pool, 5);
      await runAll(world.sequencer());
      await expectOneHistory(world, [world.key]);
    });
  }
}

test('four sequencers at once, none of which knows of the others, while lines are written: one history', async (t) => {
  const world = await createWorld(t);
  const writers = Array.from({ length: 3 }, async () => {
    for (let times = 0; times < 30; times += 1) await addLines(world.pool, 7);
  });
  let isWriting = true;
  const sequencers = Array.from({ length: 4 }, async () => {
    const sequencer = world.sequencer();
    while (isWriting) await sequencer.run();
  });
  await Promise.all(writers);
  isWriting = false;
  await Promise.all(sequencers);
  await runAll(world.sequencer());
  await expectOneHistory(world, [world.key]);
});

test('a tree that is not the one that was signed last is not signed again', async (t) => {
  const world = await createWorld(t);
  await addLines(world.pool, 300);
  await runAll(world.sequencer());
  await addLines(world.pool, 1);
  for (const [change, error] of [
    ['update audit_log_head set frontier[1] = sha256(frontier[1])', LogDisagreesError],
    ['update audit_log_head set size = size - 1', RangeError],
  ] as const) {
    await world.owner.query('begin');
    await world.owner.query(change);
    const tampered = createLogStore(world.owner);
    await assert.rejects(world.sequencer({ store: tampered }).run(), error);
    await world.owner.query('rollback');
  }
  await runAll(world.sequencer());
  await expectOneHistory(world, [world.key]);
});

test('leaves that were removed or changed behind its back are found before the next head is signed', async (t) => {
  const world = await createWorld(t);
  await addLines(world.pool, 300);
  const keepsNothing = { ...world.store, keepCheckpoint: async () => false };
  await runAll(world.sequencer());
  await addLines(world.pool, 10);
  await runAll(world.sequencer({ store: keepsNothing }));
  for (const change of [
    'delete from audit_leaves where leaf_index = 290',
    "update audit_leaves set hash = sha256('') where leaf_index = 299",
    'delete from audit_nodes',
  ]) {
    await world.owner.query('begin');
    await world.owner.query('alter table audit_leaves disable trigger all');
    await world.owner.query('alter table audit_nodes disable trigger all');
    await world.owner.query(change);
    const tree = createStoredTree(world.owner);
    const run = world.sequencer({ tree, store: createLogStore(world.owner) }).run();
    await assert.rejects(
      run,
      (error) => error instanceof LogDisagreesError || error instanceof MissingHashError,
      change,
    );
    await world.owner.query('rollback');
  }
});

test('AUD-20: a new key takes over by a note that both sign, at the last head of the old one', async (t) => {
  const world = await createWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const next = newRingKey('second');
  await addLines(world.pool, 10);
  await runAll(world.sequencer({ key: () => logKeyOf(ORIGIN, { current: next, earlier: [world.key] }) }));
  await expectOneHistory(world, [world.key, next]);
  const [handOver] = await world.store.handOvers();
  assert.deepEqual([handOver?.fromKid, handOver?.toKid, handOver?.size], ['first', 'second', 10]);
  const opened = openHandOver(handOver?.note ?? '', { origin: ORIGIN, oldKey: vkeyOf(world.key) });
  assert.equal(opened.outcome, 'verified');
});

test('AUD-20: when the old key is gone there is no hand-over, and that is said', async (t) => {
  const world = await createWorld(t);
  await addLines(world.pool, 10);
  await runAll(world.sequencer());
  const said: string[] = [];
  const log = { ...silentLog, error: (_: unknown, text: string) => said.push(text) };
  const lone = () => logKeyOf(ORIGIN, { current: newRingKey('second'), earlier: [] });
  await addLines(world.pool, 1);
  await runAll(world.sequencer({ key: lone, log: log as typeof silentLog }));
  assert.deepEqual(await world.store.handOvers(), []);
  assert.deepEqual(said, ['the key of the audit log changed without a hand-over']);
});
