/**
 * Somebody with all power over the database changes the log behind the back of its broker. Whoever kept one signed
 * head finds out, whatever was changed; the broker finds by itself what does not agree with itself.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import pg from 'pg';
import { createExaminationProgressStore } from '../../src/audit/examination-progress-store.ts';
import { createExaminationStore } from '../../src/audit/examination-store.ts';
import { examineDaily } from '../../src/audit/examine-daily.ts';
import { BEGINNING, createLogExaminer } from '../../src/audit/examine-log.ts';
import { judgeCheckpoint } from '../../src/audit/judge-checkpoint.ts';
import { parseLogProof } from '../../src/audit/log-proof.ts';
import { createLogStateStore } from '../../src/audit/log-state-store.ts';
import { pinLog, type TrustedLog } from '../../src/audit/trusted-log.ts';
import { parseVerifierKey, type VerifierKey } from '../../src/audit/verifier-key.ts';
import { type LogPolicy, type LogVerdict, verifyLog } from '../../src/audit/verify-log.ts';
import { silentLog } from '../../src/errors/log.ts';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { until } from '../broker-process.ts';
import { newSessionKey } from '../test-agent.ts';
import { createTestWorld } from '../test-broker.ts';
import { beforeDrop } from '../test-database.ts';
import { storedLog } from './stored-log.ts';
import { verifyLogProof } from './verify-log-proof.ts';

const ORIGIN = 'broker.example.com/v1/audit';
const MANY = 330;

const world = await createTestWorld();
let broker = await world.startBroker();
const superuser = new pg.Client({ connectionString: world.database.superuserUrl, ssl: false });
await superuser.connect();
beforeDrop(() => superuser.end());

/** Neither triggers nor anything else that the database itself would say. */
await superuser.query('set session_replication_role = replica');
await superuser.query("set timezone = 'UTC'");

async function addLines(count: number): Promise<void> {
  const ids = Array.from({ length: count }, () => newIdentifier('aud', systemClock));
  await superuser.query(
    `insert into audit_entries (id, action, outcome, reason, actor, details)
     select id, 'request.refused', 'refused', 'rate_limited', 'report-writer',
            jsonb_build_object('route', '/v1/kill-switch', 'source', '192.0.2.' || n % 256)
       from unnest($1::text[]) with ordinality as i (id, n)`,
    [ids],
  );
}

/** Until each line has its place and a signed head over it. */
async function untilSigned(): Promise<void> {
  const isSigned = async () => {
    const { rows } = await superuser.query(
      `select (select count(*) from audit_entries e
                where not exists (select from audit_leaves l where l.entry_id = e.id))::int as lines,
              (select size from audit_log_head)::int as size,
              (select max(size) from audit_checkpoints)::int as signed`,
    );
    const [{ lines, size, signed }] = rows as [{ lines: number; size: number; signed: number }];
    return lines === 0 && size === signed;
  };
  await until(isSigned, 'a signed head over each line', 60_000);
}

async function publishedKeys(): Promise<VerifierKey[]> {
  const body = (await (await fetch(`${broker.url}/v1/audit/keys`)).json()) as { keys: { vkey: string }[] };
  return body.keys.map(({ vkey }) => parseVerifierKey(vkey));
}

const agent = world.agent(broker, 'report-writer');
for (let times = 0; times < 6; times += 1) {
  const answer = await agent.token(newSessionKey());
  assert.equal(answer.status, 200);
}
await untilSigned(); // a head before most of it
await addLines(MANY);
await untilSigned();
const keys = await publishedKeys();
const stored = createExaminationStore(superuser);
/** In pieces that end nowhere in particular. */
const newExaminer = (store = stored) =>
  createLogExaminer({ store, origin: ORIGIN, keys: async () => keys, leavesAtOnce: 90 });
const examiner = newExaminer();

/** As `mayfly audit verify --live --entries` does it, on what the tables say now. */
const lookAt = async (policy: LogPolicy) => verifyLog(await storedLog(superuser), policy);

/** What is wrong; of a bad entry its flaw, and the first index that it may have. */
function flawOf(verdict: LogVerdict): [flaw: string, index?: number] {
  if (verdict.outcome === 'bad-entry') return [verdict.bad.flaw, verdict.bad.index];
  return [verdict.outcome === 'sound' ? 'sound' : verdict.judgement.outcome];
}

function sound(verdict: LogVerdict): TrustedLog {
  assert.ok(verdict.outcome === 'sound', JSON.stringify(verdict));
  return verdict.accepted.trusted;
}

/** What somebody outside kept: the key that he pinned, and the newest head that he saw. */
const fresh = pinLog(keys[0]?.vkey ?? '');
const remembered = sound(await lookAt({ trusted: fresh }));
const size = remembered.newest?.size ?? 0;

/** Carries out a change, lets both look at it, and takes it back. */
async function tamper(statements: string | readonly string[], values: unknown[] = []) {
  await superuser.query('begin');
  try {
    for (const statement of [statements].flat()) {
      await superuser.query(statement, statement.includes('$1') ? values : []);
    }
    const found = flawOf(await lookAt({ trusted: remembered }));
    return { found, own: (await examiner.examine()).fault };
  } finally {
    await superuser.query('rollback');
  }
}

const AT = 170;
const idAt = `(select entry_id from audit_leaves where leaf_index = ${AT})`;

test('an untouched log is blamed by nobody', async () => {
  const { found, own } = await tamper([]);
  assert.deepEqual(found, ['sound']);
  assert.equal(own, null);
  assert.ok(size > MANY + 6);
});

const changes: readonly {
  name: string;
  statements: readonly string[];
  /** The flaw, and the first bad entry. */
  found: readonly [string, number?];
  own: { table: string; index?: number };
}[] = [
  {
    name: 'a line is edited',
    statements: [`update audit_entries set actor = 'somebody-else' where id = ${idAt}`],
    found: ['entry-changed', AT],
    own: { table: 'audit_entries', index: AT },
  },
  {
    name: 'a line is dated back by a microsecond',
    statements: [`update audit_entries set at = at - interval '1 microsecond' where id = ${idAt}`],
    found: ['entry-changed', AT],
    own: { table: 'audit_entries', index: AT },
  },
  {
    name: 'a line is deleted',
    statements: [`delete from audit_entries where id = ${idAt}`],
    found: ['body-absent', AT],
    own: { table: 'audit_entries', index: AT },
  },
  {
    name: 'a line is deleted with its leaf, and the others move up',
    statements: [
      `delete from audit_entries where id = ${idAt}`,
      `delete from audit_leaves where leaf_index = ${AT}`,
      ...moved(`leaf_index > ${AT}`, -1),
    ],
    found: ['leaves-changed', 0],
    own: { table: 'audit_nodes', index: 255 },
  },
  {
    name: 'a line is put in between, with a leaf of its own',
    statements: [
      ...moved(`leaf_index >= ${AT}`, 1),
      `insert into audit_entries (id, action, outcome) values ('aud_inserted', 'token.revoked', 'allowed')`,
      `insert into audit_leaves (leaf_index, entry_id, day, hash)
         select ${AT}, e.id, e.day, sha256('\\x00') from audit_entries e where e.id = 'aud_inserted'`,
    ],
    found: ['entry-changed', AT],
    own: { table: 'audit_entries', index: AT },
  },
  {
    name: 'two lines are swapped',
    statements: [
      `create temp table pair on commit drop as select * from audit_leaves where leaf_index in (${AT}, ${AT + 1})`,
      `delete from audit_leaves where leaf_index in (${AT}, ${AT + 1})`,
      `insert into audit_leaves select 2 * ${AT} + 1 - leaf_index, entry_id, day, hash from pair`,
    ],
    found: ['leaves-changed', 0],
    own: { table: 'audit_nodes', index: 255 },
  },
  {
    name: 'two lines swap what they say',
    statements: [
      `update audit_leaves l set entry_id = o.entry_id || '_' from audit_leaves o
        where l.leaf_index in (${AT}, ${AT + 1}) and o.leaf_index = 2 * ${AT} + 1 - l.leaf_index`,
      `update audit_leaves set entry_id = rtrim(entry_id, '_') where leaf_index in (${AT}, ${AT + 1})`,
    ],
    found: ['entry-changed', AT],
    own: { table: 'audit_entries', index: AT },
  },
  {
    name: 'the tail is cut off: lines, leaves and head',
    statements: [
      `delete from audit_entries where id in (select entry_id from audit_leaves where leaf_index >= ${AT})`,
      `delete from audit_leaves where leaf_index >= ${AT}`,
      `delete from audit_nodes`,
      `update audit_log_head set size = ${AT}`,
    ],
    found: ['missing', AT],
    own: { table: 'audit_log_head' },
  },
  {
    name: 'the tail is cut off, and so are the heads that were signed over it',
    statements: [
      `delete from audit_entries where id in (select entry_id from audit_leaves where leaf_index >= ${AT})`,
      `delete from audit_leaves where leaf_index >= ${AT}`,
      `delete from audit_nodes`,
      `delete from audit_checkpoints where size > ${AT}`,
      `update audit_log_head set size = ${AT}`,
    ],
    found: ['rollback'],
    own: { table: 'audit_log_head' },
  },
  {
    name: 'the whole table is replaced by another with as many lines',
    statements: [
      `update audit_entries set id = 'aud_' || reverse(substr(id, 5)), actor = 'nobody'`,
      `update audit_leaves set entry_id = 'aud_' || reverse(substr(entry_id, 5)), hash = sha256(hash)`,
    ],
    found: ['entry-changed', 0],
    own: { table: 'audit_entries', index: 0 },
  },
  {
    name: 'every line is gone',
    statements: ['truncate audit_entries, audit_leaves, audit_nodes'],
    found: ['missing', 0],
    own: { table: 'audit_leaves', index: 0 },
  },
  {
    name: 'a line is slipped in among old ones without a place',
    statements: [
      `insert into audit_entries (id, xid, action, outcome) values ('aud_hidden', 3, 'token.revoked', 'allowed')`,
    ],
    found: ['sound'], // no auditor is ever shown it
    own: { table: 'audit_entries' },
  },
  {
    name: 'a line is slipped in with the number of a transaction that there was not yet',
    statements: [
      `insert into audit_entries (id, xid, action, outcome) values ('aud_hidden', 9007199254740991, 'token.revoked', 'allowed')`,
    ],
    found: ['sound'],
    own: { table: 'audit_entries' },
  },
  {
    name: 'a line is slipped in among those of a log that moved here from another cluster',
    statements: [
      `update audit_log_head set moved = true, settled_day = floor(extract(epoch from now()) / 86400)`,
      `insert into audit_entries (day, id, xid, action, outcome)
       values (floor(extract(epoch from now()) / 86400) - 1, 'aud_hidden', 9007199254740991, 'token.revoked', 'allowed')`,
    ],
    found: ['sound'],
    own: { table: 'audit_entries' },
  },
  {
    name: 'a node is added for leaves that there are not yet',
    statements: [`insert into audit_nodes (level, node_index, hash) values (2, 7, sha256(''))`],
    found: ['sound'], // nobody is served it before
    own: { table: 'audit_nodes' },
  },
];

/** Indexes are unique at every moment: hence through numbers that nobody has. */
function moved(which: string, by: number): string[] {
  return [
    `alter table audit_leaves drop constraint audit_leaves_leaf_index_check`,
    `update audit_leaves set leaf_index = -leaf_index - 1 where ${which}`,
    `update audit_leaves set leaf_index = -leaf_index - 1 + ${by} where leaf_index < 0`,
  ];
}

for (const { name, statements, found, own } of changes) {
  test(`${name}: found, and the first bad entry is named`, async () => {
    const come = await tamper(statements);
    assert.deepEqual(come.found, found);
    assert.equal(come.own?.table, own.table, JSON.stringify(come.own));
    if (own.index !== undefined) assert.equal(come.own?.index, own.index);
  });
}

test('AUD-18: a bit that flips anywhere in the tables is found, and its row is named', async () => {
  for (let times = 0; times < 60; times += 1) {
    const at = randomInt(size);
    const bit = randomInt(256);
    const fromEnd = randomInt(3, 60);
    const flip = (column: string) => `set_bit(${column}, ${bit}, 1 - get_bit(${column}, ${bit}))`;
    const id = `(select entry_id from audit_leaves where leaf_index = ${at})`;
    const kinds: readonly [string, string, number | null][] = [
      [`update audit_leaves set hash = ${flip('hash')} where leaf_index = ${at}`, 'audit_entries', at],
      [
        `update audit_entries set request_id = coalesce(request_id, '') || chr(65 # ${1 << randomInt(5)}) where id = ${id}`,
        'audit_entries',
        at,
      ],
      [
        `update audit_entries set details = details || jsonb_build_object('route', ${randomInt(1_000)}) where id = ${id}`,
        'audit_entries',
        at,
      ],
      [
        `update audit_entries set repetitions = repetitions # ${1 << randomInt(1, 16)} where id = ${id}`,
        'audit_entries',
        at,
      ],
      [`update audit_nodes set hash = ${flip('hash')}`, 'audit_nodes', 255],
      [`update audit_log_head set frontier[1] = ${flip('frontier[1]')}`, 'audit_log_head', size],
      [
        `update audit_checkpoints set root = ${flip('root')} where size = ${size}`,
        'audit_checkpoints',
        size - 1,
      ],
      [
        // Each of its letters, digits and the sign becomes another one.
        `update audit_checkpoints set note = overlay(note placing translate(substr(note, length(note) - ${fromEnd}, 1),
           'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/',
           'bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/a') from length(note) - ${fromEnd} for 1)
          where size = ${size}`,
        'audit_checkpoints',
        size - 1,
      ],
    ];
    const [statement, table, index] = kinds[times % kinds.length] ?? ['', '', null];
    const { own, found } = await tamper(statement);
    assert.equal(own?.table, table, `${statement}: ${JSON.stringify(own)}`);
    if (index !== null) assert.equal(own?.index, index, statement);
    const isShown = !/frontier|root/.test(statement);
    assert.equal(found[0] !== 'sound', isShown, `${statement}: ${found}`);
  }
});

test('an examination goes on where another broker stopped, and what it finds stands until another one finds nothing', async () => {
  const progress = createExaminationProgressStore(superuser);
  const newRun = () =>
    examineDaily({ keeps: () => false, examiner, progress, log: silentLog, clock: systemClock });
  const reached = async () => {
    const { rows } = await superuser.query(
      `select next_index::int as leaves, after_day is not null as lines, fault, sound_at = now() as sound from audit_examination`,
    );
    return rows[0];
  };
  const begin = () => superuser.query(`update audit_examination set ended_at = now() - interval '25 hours'`);
  const stepAll = async () => {
    for (let steps = 0; (await progress.read()).isDue; steps += 1) {
      assert.ok(steps < 100, 'it ends');
      const run = newRun();
      assert.equal(await run.step(), true);
      await run.close();
    }
  };
  await superuser.query('begin');
  try {
    assert.equal((await progress.read()).isDue, false, 'it was just migrated');
    await begin();
    const { turn } = await progress.read();
    assert.equal(await newRun().step(), true);
    assert.deepEqual(await reached(), { leaves: size, lines: true, fault: null, sound: false });
    assert.equal(await progress.keep(turn, BEGINNING), false, 'another broker was quicker');
    await stepAll();
    assert.deepEqual(await reached(), { leaves: 0, lines: false, fault: null, sound: true });

    await begin();
    const change = `set actor = coalesce(actor, '') || '!' where id = ${idAt}`;
    await superuser.query(`savepoint sound`);
    await superuser.query(`update audit_entries ${change}`);
    await stepAll();
    assert.equal((await reached()).fault.index, AT);
    assert.equal((await createLogStateStore(superuser).read()).fault?.index, AT);
    const { rows } = await superuser.query('select fault from audit_examination');
    await superuser.query('rollback to savepoint sound');
    await superuser.query('update audit_examination set fault = $1', [rows[0].fault]);
    await begin();
    await stepAll();
    assert.equal((await reached()).fault, null);
  } finally {
    await superuser.query('rollback');
  }
});

test('what retention dropped keeps its place, and its proof verifies; a line without a place is never dropped', async () => {
  const day = Math.floor(Date.now() / 86_400_000) - 40;
  const lines = (first: number) =>
    `insert into audit_entries (day, id, at, action, outcome, details)
     select ${day}, 'aud_old_' || n, to_timestamp(${day} * 86400 + n), 'request.refused', 'refused', '{"mixed": true}'
       from generate_series(${first}, ${first} + 9) as n`;
  const drop = async () => {
    const { rows } = await superuser.query('select drop_audit_partition(30) as name');
    return rows[0].name;
  };
  await assert.rejects(superuser.query('select drop_audit_partition(29)'), /thirty days/);
  await superuser.query('update audit_retention set days = 30');
  await superuser.query('begin');
  await superuser.query(
    `create table audit_entries_${day} partition of audit_entries for values from (${day}) to (${day + 1})`,
  );
  await superuser.query(`alter table audit_entries_${day} owner to mayfly_owner`);
  await superuser.query(lines(1));
  assert.equal(await drop(), null, 'lines wait for their places');
  await superuser.query('commit');
  await untilSigned();
  const whileItIsDropped = newExaminer({
    ...stored,
    async readPiece(from, to) {
      if (from === 0) assert.equal(await drop(), `audit_entries_${day}`);
      return stored.readPiece(from, to);
    },
  });
  assert.equal((await whileItIsDropped.examine()).fault, null);
  assert.equal(await drop(), null);

  const bodiesFrom = size + 10;
  assert.deepEqual(
    flawOf(await lookAt({ trusted: remembered, bodiesFrom: bodiesFrom - 1 }))[0],
    'body-absent',
  );
  const verdict = await lookAt({ trusted: remembered, bodiesFrom });
  assert.deepEqual([verdict.outcome, 'bodiesAbsent' in verdict && verdict.bodiesAbsent], ['sound', 10]);
  assert.equal((await examiner.examine()).fault, null);

  const auditor = world.operator(broker, 'olivia');
  const { body } = await auditor.get('/v1/audit/entries/aud_old_3', 'mayfly:read:audit');
  assert.deepEqual([body.entry, typeof body.index], [null, 'number']);
  const { rows } = await superuser.query('select hash from audit_leaves where leaf_index = $1', [body.index]);
  const leaf: Buffer = rows[0].hash;
  assert.equal(body.leaf_hash, leaf.toString('base64'));
  const proved = verifyLogProof(parseLogProof(body.proof), { leaf, origin: ORIGIN, keys });
  assert.equal(proved.outcome, 'verified');
});

const TABLES = ['audit_entries', 'audit_leaves', 'audit_nodes', 'audit_checkpoints', 'audit_log_head'];

/** A backup, as somebody makes it who wants to come back to it: of one moment, or the log would not go on from it. */
async function copyTables(): Promise<{ restore(): Promise<void> }> {
  await superuser.query('begin isolation level repeatable read');
  for (const table of TABLES)
    await superuser.query(`create temp table copy_of_${table} as select * from ${table}`);
  await superuser.query('commit');
  return {
    async restore() {
      await superuser.query('begin');
      await superuser.query(`truncate ${TABLES.join(', ')}`);
      for (const table of TABLES)
        await superuser.query(`insert into ${table} select * from copy_of_${table}`);
      await superuser.query('commit');
    },
  };
}

test('an older copy of the tables is found by whoever saw a later head; two auditors who saw two histories find out by showing each other what they saw', async () => {
  await superuser.query('alter table audit_cosignatures drop constraint audit_cosignatures_size_fkey');
  const bodiesFrom = size + 10;
  const backup = await copyTables();
  await addLines(20);
  await untilSigned();
  const alice = sound(await lookAt({ trusted: remembered, bodiesFrom }));

  await backup.restore();
  await untilSigned();
  assert.deepEqual(flawOf(await lookAt({ trusted: alice, bodiesFrom })), ['rollback']);
  assert.equal((await examiner.examine()).fault, null, 'in itself it is sound');

  // The broker goes on with what it finds, and signs another history with the same key.
  await addLines(20);
  await untilSigned();
  assert.deepEqual(flawOf(await lookAt({ trusted: alice, bodiesFrom })), ['split-view']);
  const bob = sound(await lookAt({ trusted: remembered, bodiesFrom }));
  await addLines(1);
  await untilSigned();
  assert.deepEqual(flawOf(await lookAt({ trusted: alice, bodiesFrom })), ['not-consistent']);
  assert.deepEqual(flawOf(await lookAt({ trusted: bob, bodiesFrom })), ['sound']);

  const shown = judgeCheckpoint(alice, { checkpoint: bob.newest?.note ?? '' });
  assert.equal(shown.outcome, 'split-view');
  assert.deepEqual(
    shown.outcome === 'split-view' && [shown.seen, shown.offered],
    [alice.newest?.note, bob.newest?.note],
    'both signed heads are the evidence',
  );
});

test('a history that was rewritten with all its tables, and that the broker then signed with the key of the log, is found by whoever kept a head', async () => {
  const bodiesFrom = size + 10;
  const before = sound(await lookAt({ trusted: fresh, bodiesFrom }));
  await broker.stop();
  await superuser.query(`update audit_entries set actor = 'somebody-else' where id = ${idAt}`);
  await superuser.query(
    'truncate audit_leaves, audit_nodes, audit_checkpoints, audit_cosignatures, audit_hand_overs',
  );
  await superuser.query(`update audit_log_head set size = 0, frontier = '{}', seen = '3:3:', target = null`);
  await addLines(10);
  broker = await world.startBroker();
  await untilSigned();
  assert.deepEqual(flawOf(await lookAt({ trusted: fresh })), ['sound']);
  assert.equal((await examiner.examine()).fault, null, 'in itself it is sound');
  const [found] = flawOf(await lookAt({ trusted: before }));
  assert.ok(['not-consistent', 'rollback', 'split-view'].includes(found), found);
});
