/** Properties of the comparison, over catalogues that differ from a small one by random steps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Catalogue, catalogueFromDocument, compareCatalogues } from '../../src/catalogue/index.ts';
import { fc } from '../properties.ts';
import { loadFiles, policyFiles, smallPolicy } from './policy-fixture.ts';

const { catalogue: loaded } = await loadFiles(policyFiles(smallPolicy()));
const unchanged = loaded as Catalogue;

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
