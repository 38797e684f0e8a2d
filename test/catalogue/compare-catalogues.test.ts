import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHANGE_KINDS } from '../../src/catalogue/catalogue-change.ts';
import {
  type Catalogue,
  type CatalogueChange,
  catalogueFromDocument,
  compareCatalogues,
} from '../../src/catalogue/index.ts';
import { type Loose, loadChanged, type Policy, publicJwk } from './policy-fixture.ts';

const read = ({ customers }: Policy): Loose => customers.actions['db:read:customers'];
const share = ({ storage }: Policy): Loose => storage.actions['storage:share:exports'];
const erase = ({ customers }: Policy): Loose => customers.actions['db:delete:customers'];
const newKey = publicJwk('new-1');

async function load(change: (policy: Policy) => unknown): Promise<Catalogue> {
  const { catalogue, problems } = await loadChanged(change, { lint: false });
  if (catalogue === null) throw new Error(JSON.stringify(problems, null, 2));
  return catalogue;
}

const unchanged = await load(() => {});

type Case = {
  what: string;
  change(policy: Policy): unknown;
  /** Kinds with the change, and with it taken back. */
  there: (keyof typeof CHANGE_KINDS)[];
  back: (keyof typeof CHANGE_KINDS)[];
  /** A part of the first widening sentence, or of the first sentence. */
  says: RegExp;
};

const CASES: Case[] = [
  {
    what: 'a grant',
    change: ({ clerk }) => clerk.may.push('storage:write:exports'),
    there: ['grant-added'],
    back: ['grant-removed'],
    says: /^privacy-clerk gains storage:write:exports \(Store an export; MED, write\)\.$/,
  },
  {
    what: 'an agent without grants',
    change: (policy) => Object.assign(policy.clerk, { may: [] }),
    there: ['grant-removed'],
    back: ['grant-added'],
    says: /^privacy-clerk loses db:delete:customers/,
  },
  {
    what: 'a reach',
    change: ({ zones }) => zones.zones.shared.may_call.push('analytics'),
    there: ['zone-reach-added'],
    back: ['zone-reach-removed'],
    says: /^Agents of zone shared may now be granted actions of resources in zone analytics\.$/,
  },
  {
    what: 'a zone',
    change: ({ zones }) => Object.assign(zones.zones, { attic: { title: 'Attic', may_call: ['shared'] } }),
    there: ['zone-added'],
    back: ['zone-removed'],
    says: /The zone attic \(Attic\) is new/,
  },
  {
    what: "a zone's title",
    change: ({ zones }) => Object.assign(zones.zones.shared, { title: 'Other' }),
    there: ['zone-retitled'],
    back: ['zone-retitled'],
    says: /now called "Other"/,
  },
  {
    what: 'a higher sensitivity',
    change: (policy) => Object.assign(read(policy), { sensitivity: 'HIGH' }),
    there: ['sensitivity-raised'],
    back: ['sensitivity-lowered'],
    says: /db:read:customers counts as HIGH, before as LOW, for report-writer/,
  },
  {
    what: 'a weaker approval',
    change: (policy) => Object.assign(erase(policy), { approval: 'one' }),
    there: ['approval-weakened'],
    back: ['approval-strengthened'],
    says: /needs the yes of one person, before of two people/,
  },
  {
    what: 'no approval',
    change: (policy) => Object.assign(share(policy), { approval: 'none' }),
    there: ['approval-weakened'],
    back: ['approval-strengthened'],
    says: /of nobody, before of one person/,
  },
  {
    what: 'a longer maximum with a shorter default',
    change: (policy) => Object.assign(share(policy), { lifetime: { default: 60, max: 180 } }),
    there: ['lifetime-lengthened'],
    back: ['lifetime-shortened'],
    says: /live 60 s by default and 180 s at most, before 60 s and 120 s/,
  },
  {
    what: 'a longer default',
    change: (policy) => Object.assign(read(policy), { lifetime: { default: 301, max: 900 } }),
    there: ['lifetime-lengthened'],
    back: ['lifetime-shortened'],
    says: /Tokens of report-writer for db:read:customers live 301 s/,
  },
  {
    what: 'use by session',
    change: (policy) => Object.assign(share(policy), { use: 'session' }),
    there: ['use-widened'],
    back: ['use-narrowed'],
    says: /^report-writer can do storage:share:exports any number of times with one token/,
  },
  {
    what: 'another effect',
    change: (policy) => Object.assign(read(policy), { effect: 'write' }),
    there: ['effect-changed'],
    back: ['effect-changed'],
    says: /changes its effect from read to write/,
  },
  {
    what: "an action's title",
    change: (policy) => Object.assign(read(policy), { title: 'Look at customers' }),
    there: ['action-retitled'],
    back: ['action-retitled'],
    says: /now described as "Look at customers"/,
  },
  {
    what: 'a first schema for arguments',
    change: (policy) =>
      Object.assign(read(policy), { arguments: { type: 'object', additionalProperties: false } }),
    there: ['arguments-narrowed'],
    back: ['arguments-widened'],
    says: /with fewer arguments than before/,
  },
  {
    what: 'a looser schema',
    change: ({ storage }) => {
      storage.actions['storage:write:exports'].arguments.properties.name.maxLength = 101;
    },
    there: ['arguments-widened'],
    back: ['arguments-narrowed'],
    says: /arguments that were refused before/,
  },
  {
    what: 'another audience',
    change: ({ storage }) => Object.assign(storage, { resource: 'https://store.example.com' }),
    there: ['resource-removed', 'resource-added', 'action-moved', 'action-moved', 'action-moved'],
    back: ['resource-removed', 'resource-added', 'action-moved', 'action-moved', 'action-moved'],
    says: /^report-writer can now do storage:list:exports at https:\/\/store.example.com/,
  },
  {
    what: 'a resource in another zone',
    change: ({ storage }) => Object.assign(storage, { zone: 'analytics' }),
    there: ['resource-moved'],
    back: ['resource-moved'],
    says: /moves from zone shared to analytics/,
  },
  {
    what: "a resource's title",
    change: ({ storage }) => Object.assign(storage, { title: 'Store' }),
    there: ['resource-retitled'],
    back: ['resource-retitled'],
    says: /now called "Store"/,
  },
  {
    what: 'a key of a resource',
    change: ({ customers }) => customers.keys.push(newKey),
    there: ['resource-key-added'],
    back: ['resource-key-removed'],
    says: /Whoever holds the new key new-1 may act as the resource https:\/\/customers/,
  },
  {
    what: 'an old key of a resource under another kid',
    change: ({ customers }) => Object.assign(customers.keys[0], { kid: 'customers-9' }),
    there: ['resource-key-relabelled'],
    back: ['resource-key-relabelled'],
    says: /now labelled customers-9 at the resource/,
  },
  {
    what: 'a development key of a resource',
    change: ({ customers }) => Object.assign(customers, { development_key: true }),
    there: ['resource-development-key-on'],
    back: ['resource-development-key-off'],
    says: /with a key that a broker makes for a trial/,
  },
  {
    what: 'another development path',
    change: ({ storage }) => Object.assign(storage, { development_path: '/store' }),
    there: ['resource-development-path-changed'],
    back: ['resource-development-path-changed'],
    says: /at \/store, before at \/exports/,
  },
  {
    what: 'an action that nobody has',
    change: ({ storage }) =>
      Object.assign(storage.actions, { 'storage:move:exports': storage.actions['storage:list:exports'] }),
    there: ['action-added'],
    back: ['action-removed'],
    says: /storage:move:exports \(List exports; LOW, read\) is new/,
  },
  {
    what: 'a key of an agent',
    change: ({ writer }) => writer.keys.push(newKey),
    there: ['agent-key-added'],
    back: ['agent-key-removed'],
    says: /Whoever holds the new key new-1 may act as report-writer/,
  },
  {
    what: 'another key under an old kid',
    change: ({ writer }) => Object.assign(writer, { keys: [{ ...newKey, kid: 'writer-1' }, writer.keys[1]] }),
    there: ['agent-key-added', 'agent-key-removed'],
    back: ['agent-key-added', 'agent-key-removed'],
    says: /Whoever holds the new key writer-1 may act as report-writer/,
  },
  {
    what: 'an old key under another kid',
    change: ({ writer }) => Object.assign(writer.keys[0], { kid: 'writer-9' }),
    there: ['agent-key-relabelled'],
    back: ['agent-key-relabelled'],
    says: /now labelled writer-9 at report-writer/,
  },
  {
    what: 'a development key of an agent',
    change: ({ writer }) => Object.assign(writer, { development_key: true }),
    there: ['agent-development-key-on'],
    back: ['agent-development-key-off'],
    says: /may act as report-writer/,
  },
  {
    what: 'a longer session',
    change: ({ writer }) => Object.assign(writer, { session_seconds: 3601 }),
    there: ['session-lengthened'],
    back: ['session-shortened'],
    says: /A session of report-writer may live 3601 s, before 3600 s/,
  },
  {
    what: 'another owner',
    change: ({ writer }) => Object.assign(writer, { owner: 'somebody' }),
    there: ['agent-owner-changed'],
    back: ['agent-owner-changed'],
    says: /somebody now answers for report-writer, before data-platform/,
  },
  {
    what: "an agent's title",
    change: ({ writer }) => Object.assign(writer, { title: 'Other' }),
    there: ['agent-retitled'],
    back: ['agent-retitled'],
    says: /report-writer is now described as "Other"/,
  },
];

for (const { what, change, there, back, says } of CASES) {
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

test('an agent that moves to another zone is a widening, whichever way', async () => {
  const moved = await load(({ zones, clerk }) => {
    zones.zones.archive = { title: 'Archive', may_call: ['analytics'] };
    clerk.zone = 'archive';
  });
  assert.ok(compareCatalogues(unchanged, moved).some(({ kind }) => kind === 'agent-moved'));
  assert.ok(compareCatalogues(moved, unchanged).some(({ kind, widens }) => kind === 'agent-moved' && widens));
});

test('every kind of change is seen in this file', () => {
  const seen = new Set([
    ...CASES.flatMap(({ there, back }) => [...there, ...back]),
    'agent-added',
    'agent-removed',
  ]);
  assert.deepEqual(
    Object.keys(CHANGE_KINDS).filter((kind) => !seen.has(kind)),
    ['agent-moved'],
  );
});

function kinds(changes: readonly CatalogueChange[]): string[] {
  return changes.map(({ kind }) => kind).sort();
}

// ——— properties, over catalogues that differ from the small one by random steps ———

type Draft = Catalogue['document'];
type Step = (draft: Draft, pick: (count: number) => number) => Draft;

const dropAt = <T>(items: readonly T[], index: number): T[] => items.toSpliced(index, 1);

const changeAt = <T>(items: readonly T[], index: number, change: (item: T) => T): T[] =>
  items.map((item, at) => (at === index ? change(item) : item));

/** Steps that only take away. A grant goes with the action or the reach that it needs. */
const REMOVALS: Step[] = [
  (draft, pick) => ({ ...draft, agents: dropAt(draft.agents, pick(draft.agents.length)) }),
  (draft, pick) => ({
    ...draft,
    agents: changeAt(draft.agents, pick(draft.agents.length), (agent) => ({
      ...agent,
      may: dropAt(agent.may, pick(agent.may.length)),
    })),
  }),
  (draft, pick) => ({
    ...draft,
    agents: changeAt(draft.agents, pick(draft.agents.length), (agent) => ({
      ...agent,
      keys: agent.keys.length > 1 ? dropAt(agent.keys, pick(agent.keys.length)) : agent.keys,
      sessionSeconds: Math.max(60, agent.sessionSeconds - 60),
    })),
  }),
  (draft, pick) => ({ ...draft, resources: dropAt(draft.resources, pick(draft.resources.length)) }),
  (draft, pick) => ({
    ...draft,
    resources: changeAt(draft.resources, pick(draft.resources.length), (resource) => ({
      ...resource,
      actions: dropAt(resource.actions, pick(resource.actions.length)),
    })),
  }),
  (draft, pick) => ({
    ...draft,
    zones: changeAt(draft.zones, pick(draft.zones.length), (zone) => ({
      ...zone,
      mayCall: dropAt(zone.mayCall, pick(zone.mayCall.length)),
    })),
  }),
];

/** Takes the grants away that nothing backs any more. */
function withoutDangling(draft: Draft): Draft {
  const zoneOf = new Map(
    draft.resources.flatMap(({ zone, actions }) => actions.map(({ name }) => [name, zone] as const)),
  );
  const reach = new Map(draft.zones.map(({ name, mayCall }) => [name, mayCall]));
  const isBacked = (zone: string) => (action: string) => {
    const target = zoneOf.get(action);
    return target !== undefined && reach.get(zone)?.includes(target) === true;
  };
  return {
    ...draft,
    agents: draft.agents.map((agent) => ({ ...agent, may: agent.may.filter(isBacked(agent.zone)) })),
  };
}

const removals = fc.array(fc.record({ step: fc.nat(), place: fc.nat() }), { minLength: 1, maxLength: 8 });

function removed(from: Draft, steps: readonly { step: number; place: number }[]): Catalogue {
  let draft = from;
  for (const { step, place } of steps) {
    const apply = REMOVALS[step % REMOVALS.length] as Step;
    draft = withoutDangling(apply(draft, (count) => (count === 0 ? 0 : place % count)));
  }
  return catalogueFromDocument(draft);
}

test('a catalogue compared with itself has not changed, however it was cut down', () => {
  fc.assert(
    fc.property(removals, (steps) => {
      const catalogue = removed(unchanged.document, steps);
      assert.deepEqual(compareCatalogues(catalogue, catalogue), []);
      assert.deepEqual(compareCatalogues(catalogue, catalogueFromDocument(catalogue.document)), []);
    }),
  );
});

test('what only takes away never widens, and what it took away widens when it comes back', () => {
  fc.assert(
    fc.property(removals, (steps) => {
      const smaller = removed(unchanged.document, steps);
      const changes = compareCatalogues(unchanged, smaller);
      assert.deepEqual(
        changes.filter(({ widens }) => widens),
        [],
      );
      // nothing changes silently: another digest is another sentence
      assert.equal(changes.length === 0, smaller.digest === unchanged.digest);
      const agentsChanged =
        JSON.stringify(smaller.document.agents) !== JSON.stringify(unchanged.document.agents);
      if (agentsChanged) assert.ok(compareCatalogues(smaller, unchanged).some(({ widens }) => widens));
    }),
    { numRuns: 500 },
  );
});

test('any addition to what an agent may do widens, whatever is taken away beside it', () => {
  fc.assert(
    fc.property(removals, fc.nat(), fc.nat(), (steps, whom, what) => {
      const before = removed(unchanged.document, steps);
      const grants = before.document.agents.flatMap((agent, index) => {
        const reach = before.zones.get(agent.zone)?.mayCall ?? [];
        return [...before.actions.values()]
          .filter(({ name, zone }) => reach.includes(zone) && !agent.may.includes(name))
          .map(({ name }) => ({ index, agent: agent.name, action: name }));
      });
      fc.pre(grants.length > 0);
      const grant = grants[whom % grants.length] as (typeof grants)[number];
      const agents = changeAt(before.document.agents, grant.index, (agent) => ({
        ...agent,
        may: [grant.action, ...dropAt(agent.may, what % 5)],
      }));
      const added = compareCatalogues(before, catalogueFromDocument({ ...before.document, agents }));
      const found = added.find(
        ({ kind, agent, action }) =>
          kind === 'grant-added' && agent === grant.agent && action === grant.action,
      );
      assert.equal(found?.widens, true);
    }),
    { numRuns: 500 },
  );
});
