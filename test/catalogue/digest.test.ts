import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import { catalogueFromDocument, type LoadedCatalogue } from '../../src/catalogue/index.ts';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import { fc } from '../properties.ts';
import { type Loose, loadChanged, loadFiles, policyFiles, publicJwk, smallPolicy } from './policy-fixture.ts';

const original = await loadFiles(policyFiles(smallPolicy()));

const digestOf = ({ catalogue, problems }: LoadedCatalogue): string => {
  assert.deepEqual(problems, []);
  return catalogue?.digest ?? '';
};

/** Lists whose order means nothing. */
const SETS = new Set(['may', 'may_call', 'keys', 'roles']);

/** The same value with its keys, and the items of lists that mean sets, in an order that `order` decides. */
function shuffled(value: Loose, order: () => number, key = ''): Loose {
  if (Array.isArray(value)) {
    const items = value.map((item) => shuffled(item, order));
    return SETS.has(key) ? byChance(items, order) : items;
  }
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, item]) => [name, shuffled(item, order, name)]);
  return Object.fromEntries(byChance(entries, order));
}

function byChance<T>(items: T[], order: () => number): T[] {
  return items
    .map((item) => ({ item, rank: order() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

const style = fc.record({
  indent: fc.integer({ min: 1, max: 8 }),
  collectionStyle: fc.constantFrom('block' as const, 'flow' as const, 'any' as const),
  defaultStringType: fc.constantFrom('PLAIN' as const, 'QUOTE_SINGLE' as const, 'QUOTE_DOUBLE' as const),
  lineWidth: fc.constantFrom(0, 80, 200),
  aliasDuplicateObjects: fc.constant(false),
});

test('order of files, keys and items, whitespace, quotes, comments and line ends never change the digest', async () => {
  const files = Object.entries(policyFiles(smallPolicy()));
  await fc.assert(
    fc.asyncProperty(
      style,
      fc.infiniteStream(fc.nat()),
      fc.boolean(),
      fc.boolean(),
      async (options, order, windows, comments) => {
        const next = () => order.next().value as number;
        const written = byChance([...files], next).map(([name, text]) => {
          const body = stringify(shuffled(parse(text), next), options);
          const commented = comments ? `# a comment\n\n${body}\n# the end\n` : body;
          return [name, windows ? commented.replaceAll('\n', '\r\n') : commented];
        });
        assert.equal(digestOf(await loadFiles(Object.fromEntries(written))), digestOf(original));
      },
    ),
    { numRuns: 100 },
  );
});

test('the name of a resource file is not part of the version, the name of an agent file is', async () => {
  const { 'resources/storage.yaml': storage = '', ...files } = policyFiles(smallPolicy());
  const renamed = await loadFiles({ ...files, 'resources/object-store.yaml': storage });
  assert.equal(digestOf(renamed), digestOf(original));
  assert.equal(
    renamed.catalogue?.resources.get('https://storage.example.com')?.file,
    'scopes/resources/object-store.yaml',
  );
  const [agent] = original.catalogue?.document.agents ?? [];
  assert.equal(agent?.file, 'scopes/agents/privacy-clerk.yaml');
});

test('an acceptance is a note about the files, not part of the version', async () => {
  const breakIt = ({ storage }: Loose) => {
    storage.actions['storage:share:exports'].approval = 'none';
    return storage.actions['storage:share:exports'];
  };
  const because = (reason: string) =>
    loadChanged((policy) => {
      breakIt(policy).accept = [{ rule: 'high-without-approval', because: reason, reviewed_by: 'someone' }];
    });
  const [one, other] = [
    await because('A reason that is long enough.'),
    await because('Another reason, long enough.'),
  ];
  assert.equal(digestOf(one), digestOf(other));
  assert.notEqual(digestOf(one), digestOf(original));
});

test('every fact is part of the version', async () => {
  const changes: ((policy: Loose) => unknown)[] = [
    ({ zones }) => Object.assign(zones.zones.shared, { title: 'x' }),
    ({ zones }) => zones.zones.shared.may_call.push('analytics'),
    ({ storage }) => Object.assign(storage, { title: 'x' }),
    ({ storage }) => Object.assign(storage, { development_path: '/x' }),
    ({ customers }) => customers.keys.push(publicJwk('more')),
    ({ customers }) => Object.assign(customers.keys[0], { kid: 'x' }),
    ({ customers }) => Object.assign(customers.keys[0], { alg: 'ES256' }),
    ({ writer }) => Object.assign(writer, { owner: 'x' }),
    ({ writer }) => Object.assign(writer, { session_seconds: 61 }),
    ({ writer }) => Object.assign(writer, { development_key: true }),
    ({ clerk }) => clerk.may.push('storage:write:exports'),
    ({ sam }) => Object.assign(sam, { title: 'x' }),
    ({ sam }) => sam.roles.push('auditor'),
    ({ sam }) => sam.keys.push(publicJwk('more')),
    ({ sam }) => Object.assign(sam, { development_key: true }),
    ...Object.entries({
      title: 'x',
      sensitivity: 'HIGH',
      effect: 'destructive',
      lifetime: { default: 60, max: 61 },
      use: 'session',
      approval: 'one',
      arguments: { type: 'object', additionalProperties: false },
    }).map(
      ([field, value]) =>
        ({ storage }: Loose) =>
          Object.assign(storage.actions['storage:write:exports'], { [field]: value }),
    ),
  ];
  const digests = new Set([digestOf(original)]);
  for (const change of changes)
    digests.add((await loadChanged(change, { lint: false })).catalogue?.digest ?? 'none');
  assert.equal(digests.size, changes.length + 1);
  assert.ok(!digests.has('none'));
});

test('the digest is the one of the document, and survives the way through a database', () => {
  const { catalogue } = original;
  assert.equal(catalogue?.digest, canonicalDigest(catalogue?.document));
  const stored = shuffled(JSON.parse(JSON.stringify(catalogue?.document)), () => 1);
  const restored = catalogueFromDocument(stored);
  assert.equal(restored.digest, catalogue?.digest);
  assert.deepEqual(restored.agents, catalogue?.agents);
  assert.deepEqual(restored.actions, catalogue?.actions);
  assert.deepEqual(restored.zones, catalogue?.zones);
  assert.deepEqual(restored.operators, catalogue?.operators);
  assert.equal(restored.resources.get('https://storage.example.com')?.file, '');
});
