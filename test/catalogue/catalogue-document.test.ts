import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CatalogueDocumentError, catalogueFromDocument } from '../../src/catalogue/index.ts';
import { fc } from '../properties.ts';
import { type Loose, loadFiles, policyFiles, publicJwk, smallPolicy } from './policy-fixture.ts';

const { catalogue } = await loadFiles(policyFiles(smallPolicy()));
const fresh = (): Loose => JSON.parse(JSON.stringify(catalogue?.document));

test('a document is taken back as it was', () => {
  assert.equal(catalogueFromDocument(fresh()).digest, catalogue?.digest);
});

/** What somebody who can write to the table might try, or a newer mayfly might have written. */
const NONSENSE: [string, (document: Loose) => unknown][] = [
  ['another version', (document) => Object.assign(document, { version: 2 })],
  ['a member of tomorrow', (document) => Object.assign(document, { approvers: [] })],
  ['a wildcard', ({ agents }) => agents[0].may.push('*')],
  ['a grant of nothing', ({ agents }) => agents[0].may.push('db:read:nothing')],
  ['a grant twice', ({ agents }) => agents[0].may.push(agents[0].may[0])],
  ['a grant beyond the fence', ({ zones }) => Object.assign(zones[0], { mayCall: [] })],
  ['an agent twice', ({ agents }) => agents.push(agents[0])],
  ['an action twice', ({ resources }) => resources[1].actions.push(resources[0].actions[0])],
  ['a zone of nobody', ({ agents }) => Object.assign(agents[0], { zone: 'moon' })],
  ['an agent without a key', ({ agents }) => Object.assign(agents[0], { developmentKey: false, keys: [] })],
  ['a private key', ({ agents }) => Object.assign(agents[1].keys[0], { d: 'x' })],
  ['a key off the curve', ({ agents }) => Object.assign(agents[1].keys[0], { y: agents[1].keys[0].x })],
  ['a key of two', ({ agents, resources }) => agents[1].keys.push({ ...resources[0].keys[0], kid: 'x' })],
  ['a kid twice', ({ agents }) => agents[1].keys.push({ ...publicJwk('writer-1') })],
  [
    'a lifetime of a day',
    ({ resources }) => Object.assign(resources[0].actions[0].lifetime, { maxSeconds: 86_400 }),
  ],
  [
    'a default over the maximum',
    ({ resources }) =>
      Object.assign(resources[0].actions[0], { lifetime: { defaultSeconds: 90, maxSeconds: 80 } }),
  ],
  ['a session of a week', ({ agents }) => Object.assign(agents[0], { sessionSeconds: 604_800 })],
  [
    'an audience with a slash',
    ({ resources }) => Object.assign(resources[0], { audience: 'https://customers.example.com/' }),
  ],
  [
    'an approval that is none',
    ({ resources }) => Object.assign(resources[0].actions[0], { approval: 'maybe' }),
  ],
  [
    'a reserved action',
    ({ resources }) => Object.assign(resources[0].actions[0], { name: 'mayfly:revoke:sessions' }),
  ],
  [
    'arguments that are no schema',
    ({ resources }) => Object.assign(resources[0].actions[0], { arguments: [] }),
  ],
  ['an operator twice', ({ operators }) => operators.push(operators[0])],
  [
    'an operator called like an agent',
    ({ operators }) => Object.assign(operators[0], { name: 'privacy-clerk' }),
  ],
  ['an operator without a role', ({ operators }) => Object.assign(operators[0], { roles: [] })],
  ['a role of tomorrow', ({ operators }) => operators[0].roles.push('owner')],
  ['a role twice', ({ operators }) => operators[0].roles.push(operators[0].roles[0])],
  ['an operator without a key', ({ operators }) => Object.assign(operators[0], { developmentKey: false })],
  [
    "an agent's key at an operator",
    ({ operators, agents }) => operators[0].keys.push({ ...agents[1].keys[0], kid: 'x' }),
  ],
  ['a number for a name', ({ agents }) => Object.assign(agents[0], { name: 7 })],
];

for (const [what, change] of NONSENSE) {
  test(`a stored document with ${what} is refused`, () => {
    const document = fresh();
    change(document);
    assert.throws(() => catalogueFromDocument(document), CatalogueDocumentError);
  });
}

test('a document without operators has the digest that it had before there were any', () => {
  const { operators: _none, ...without } = fresh();
  const made = catalogueFromDocument(without);
  assert.equal(made.operators.size, 0);
  assert.ok(!('operators' in made.document));
  assert.equal(catalogueFromDocument({ ...without, operators: [] }).digest, made.digest);
});

test('anything that is no document is refused with the same error', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.anything()), (value) => {
      assert.throws(() => catalogueFromDocument(value), CatalogueDocumentError);
    }),
  );
});

test('a catalogue is not changed by what later happens to the document that it was made of', () => {
  const document = fresh();
  const made = catalogueFromDocument(document);
  document.agents[0].may.push('db:read:customers');
  document.agents[0].keys.push(publicJwk('late'));
  assert.deepEqual(made.agents.get('privacy-clerk'), catalogue?.agents.get('privacy-clerk'));
});
