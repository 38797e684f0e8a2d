/** The tables of a log without a broker: lines, sequencers on them, and what anybody can find out from them alone. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { entryBytes, entryDocument } from '../../src/audit/entry-document.ts';
import { logKeyOf, type RingKey } from '../../src/audit/log-key.ts';
import { createLogStore, ENTRY_COLUMNS } from '../../src/audit/log-store.ts';
import { verifyConsistency } from '../../src/audit/merkle-proof.ts';
import { leafHash, rootOfLeaves } from '../../src/audit/merkle-tree.ts';
import { createSequencer } from '../../src/audit/sequencer.ts';
import type { KeptCheckpoint } from '../../src/audit/signed-head-store.ts';
import { createStoredTree } from '../../src/audit/tree-store.ts';
import { verifierKeyOf } from '../../src/audit/verifier-key.ts';
import { createPool, type Pool } from '../../src/database/pool.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { beforeDrop, createTestDatabase, type TestDatabase } from '../test-database.ts';

export const ORIGIN = 'broker.example.com/v1/audit';

export function newRingKey(kid: string): RingKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    kid,
    privateKey,
    publicKey: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'),
  };
}

export const vkeyOf = ({ publicKey }: RingKey) => verifierKeyOf({ name: ORIGIN, kind: 'log', publicKey });

export type LogWorld = Awaited<ReturnType<typeof createLogWorld>>;

export async function createLogWorld(t: { after(close: () => Promise<void>): void }) {
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

export async function addLines(pool: Pick<Pool, 'query'>, count: number): Promise<void> {
  const ids = Array.from({ length: count }, () => newIdentifier('aud', systemClock));
  await pool.query(
    `insert into audit_entries (id, action, outcome, details)
     select id, 'request.refused', 'refused', jsonb_build_object('n', n) from unnest($1::text[]) with ordinality as i (id, n)`,
    [ids],
  );
}

export async function runAll(sequencer: ReturnType<LogWorld['sequencer']>): Promise<void> {
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
export async function expectOneHistory(
  world: Pick<LogWorld, 'pool' | 'tree'>,
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
