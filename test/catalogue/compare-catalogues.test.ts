import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHANGE_KINDS } from '../../src/catalogue/catalogue-change.ts';
import {
  type Catalogue,
  type CatalogueChange,
  catalogueFromDocument,
  compareCatalogues,
} from '../../src/catalogue/index.ts';
import { CHANGE_CASES } from './change-cases.ts';
import { loadChanged, type Policy } from './policy-fixture.ts';

async function load(change: (policy: Policy) => unknown): Promise<Catalogue> {
  const { catalogue, problems } = await loadChanged(change, { lint: false });
  if (catalogue === null) throw new Error(JSON.stringify(problems, null, 2));
  return catalogue;
}

const unchanged = await load(() => {});

for (const { what, change, there, back, says } of CHANGE_CASES) {
  test(`the comparison tells ${what}, both ways`, async () => {
    const changed = await load(change);
    const forth = compareCatalogues(unchanged, changed);
    assert.deepEqual(kinds(forth), [...there].sort());
    assert.deepEqual(kinds(compareCatalogues(changed, unchanged)), [...back].sort());
    const first = forth.find(({ widens }) => widens) ?? forth[0];
    assert.match(first?.sentence ?? '', says);
    for (const { kind, widens, sentence } of forth) {
      assert.equal(widens, CHANGE_KINDS[kind]);
      assert.match(sentence, /^\S.*\.$/);
    }
  });
}

test('an agent that comes or goes is told together with everything that it gains or loses', async () => {
  const without = await load(({ zones }) => zones);
  const smaller = catalogueFromDocument({
    ...without.document,
    agents: without.document.agents.filter(({ name }) => name !== 'report-writer'),
  });
  const gone = compareCatalogues(unchanged, smaller);
  assert.deepEqual(kinds(gone), ['agent-removed', ...Array(4).fill('grant-removed')]);
  assert.ok(gone.every(({ widens }) => !widens));
  const back = compareCatalogues(smaller, unchanged);
  assert.deepEqual(kinds(back), ['agent-added', ...Array(4).fill('grant-added')]);
  assert.ok(back.every(({ widens }) => widens));
});

test('an operator that comes or goes is told together with every role', () => {
  const smaller = catalogueFromDocument({
    ...unchanged.document,
    operators: unchanged.document.operators?.filter(({ name }) => name !== 'sam'),
  });
  const gone = compareCatalogues(unchanged, smaller);
  assert.deepEqual(kinds(gone), ['operator-removed', ...Array(2).fill('operator-role-removed')]);
  assert.ok(gone.every(({ widens, operator }) => !widens && operator === 'sam'));
  const back = compareCatalogues(smaller, unchanged);
  assert.deepEqual(kinds(back), ['operator-added', ...Array(2).fill('operator-role-added')]);
  assert.ok(back.every(({ widens }) => widens));
});

test('an agent that moves to another zone is a widening, whichever way', async () => {
  const moved = await load(({ zones, clerk }) => {
    zones.zones.archive = { title: 'Archive', may_call: ['analytics'] };
    clerk.zone = 'archive';
  });
  assert.ok(compareCatalogues(unchanged, moved).some(({ kind }) => kind === 'agent-moved'));
  assert.ok(compareCatalogues(moved, unchanged).some(({ kind, widens }) => kind === 'agent-moved' && widens));
});

test('exactly these kinds widen', () => {
  const widening = Object.entries(CHANGE_KINDS).flatMap(([kind, widens]) => (widens ? [kind] : []));
  assert.deepEqual(
    widening.sort(),
    `action-moved agent-added agent-development-key-on agent-key-added agent-moved approval-weakened
     arguments-widened aws-added aws-changed effect-changed grant-added lifetime-lengthened operator-added operator-development-key-on
     operator-key-added operator-role-added resource-development-key-on
     resource-key-added resource-moved sensitivity-lowered session-lengthened use-widened zone-added
     zone-reach-added`.split(/\s+/),
  );
});

test('every kind of change is seen in this file', () => {
  const seen = new Set([
    ...CHANGE_CASES.flatMap(({ there, back }) => [...there, ...back]),
    'agent-added',
    'agent-removed',
    'operator-added',
    'operator-removed',
  ]);
  assert.deepEqual(
    Object.keys(CHANGE_KINDS).filter((kind) => !seen.has(kind)),
    // those of AWS: in aws.test.ts
    ['aws-added', 'aws-removed', 'aws-changed', 'aws-narrowed', 'agent-moved'],
  );
});

function kinds(changes: readonly CatalogueChange[]): string[] {
  return changes.map(({ kind }) => kind).sort();
}
