/** Every structural rule, seen red on a policy that is right in every other respect. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadChanged, type Policy, publicJwk, rulesOf } from './policy-fixture.ts';

/** What one change to the small policy does: the rules it breaks. */
const BROKEN: [string, (policy: Policy) => void, string[]][] = [
  ['an unknown key in an agent', ({ clerk }) => Object.assign(clerk, { titel: 'x' }), ['unknown-key']],
  ['an unknown key in a resource', ({ storage }) => Object.assign(storage, { url: 'x' }), ['unknown-key']],
  [
    'an unknown key in an action',
    ({ customers }) => Object.assign(customers.actions['db:read:customers'], { scope: 'x' }),
    ['unknown-key'],
  ],
  [
    'an unknown key in a lifetime',
    ({ customers }) => Object.assign(customers.actions['db:read:customers'].lifetime, { min: 60 }),
    ['unknown-key'],
  ],
  [
    'an unknown key in a zone',
    ({ zones }) => Object.assign(zones.zones.shared, { calls: [] }),
    ['unknown-key'],
  ],
  ['an unknown key beside the zones', ({ zones }) => Object.assign(zones, { agents: [] }), ['unknown-key']],
  [
    'an unknown member of a key',
    ({ writer }) => Object.assign(writer.keys[0], { x5c: 'x' }),
    ['unknown-key'],
  ],
  ['a missing title', ({ clerk }) => delete clerk.title, ['missing-key']],
  [
    'a missing approval',
    ({ storage }) => delete storage.actions['storage:list:exports'].approval,
    ['missing-key'],
  ],
  ['no keys at all', ({ writer }) => delete writer.keys, ['missing-key']],
  ['an empty list of keys', ({ customers }) => Object.assign(customers, { keys: [] }), ['missing-key']],
  ['a misspelt sensitivity', set('customers', 'sensitivity', 'low'), ['invalid-value']],
  ['a number as a title', set('customers', 'title', 7), ['invalid-value']],
  [
    'a title with a direction override',
    ({ clerk }) => Object.assign(clerk, { title: 'a\u202eb' }),
    ['control-character'],
  ],
  ['a title of two lines', ({ clerk }) => Object.assign(clerk, { title: 'a\nb' }), ['invalid-value']],
  ['a lifetime under the floor', set('customers', 'lifetime', { default: 59, max: 60 }), ['invalid-value']],
  ['a lifetime over the roof', set('customers', 'lifetime', { default: 60, max: 901 }), ['invalid-value']],
  [
    'a lifetime of half a second more',
    set('customers', 'lifetime', { default: 60.5, max: 70 }),
    ['invalid-value'],
  ],
  ['a default over the maximum', set('customers', 'lifetime', { default: 90, max: 80 }), ['invalid-value']],
  [
    'a session over the roof',
    ({ clerk }) => Object.assign(clerk, { session_seconds: 43_201 }),
    ['invalid-value'],
  ],
  [
    'a word for a flag',
    ({ clerk }) => Object.assign(clerk, { development_key: 'yes' }),
    ['invalid-value', 'missing-key'],
  ],
  ['a grant that nobody declares', ({ clerk }) => clerk.may.push('db:read:custmers'), ['unknown-action']],
  ['a grant twice', ({ clerk }) => clerk.may.push('db:delete:customers'), ['duplicate-item']],
  [
    'a zone that nobody declares',
    ({ storage }) => Object.assign(storage, { zone: 'sharde' }),
    ['zone-empty', 'unknown-zone'],
  ],
  ['a reach into nowhere', ({ zones }) => zones.zones.shared.may_call.push('moon'), ['unknown-zone']],
  [
    'a grant beyond the fence',
    ({ zones }) => Object.assign(zones.zones.analytics, { may_call: ['shared'] }),
    ['zone-not-reachable', 'zone-not-reachable'],
  ],
  [
    'one audience for two',
    ({ storage, customers }) => Object.assign(storage, { resource: customers.resource }),
    ['duplicate-name'],
  ],
  [
    'one key for two',
    ({ customers, writer }) => Object.assign(customers, { keys: [writer.keys[0]] }),
    ['duplicate-name'],
  ],
  [
    'one kid for two keys',
    ({ writer }) => Object.assign(writer.keys[1], { kid: 'writer-1' }),
    ['duplicate-name'],
  ],
  ['a key without kid', ({ writer }) => delete writer.keys[0].kid, ['missing-key']],
  [
    'a key with another algorithm',
    ({ writer }) => Object.assign(writer.keys[0], { alg: 'EdDSA' }),
    ['invalid-key'],
  ],
  [
    'a key off the curve',
    ({ writer }) => Object.assign(writer.keys[0], { y: writer.keys[0].x }),
    ['invalid-key'],
  ],
  ['a key for encryption', ({ writer }) => Object.assign(writer.keys[0], { use: 'enc' }), ['invalid-key']],
  ['a private key', ({ writer }) => Object.assign(writer.keys[0], { d: 'c2VjcmV0' }), ['private-key']],
  [
    'eleven keys',
    ({ writer }) => Object.assign(writer, { keys: Array.from({ length: 11 }, (_, i) => publicJwk(`k${i}`)) }),
    ['invalid-value'],
  ],
  [
    'a path for a resource with its own keys',
    ({ customers }) => Object.assign(customers, { development_path: '/' }),
    ['development-path-without-key'],
  ],
  [
    'a path that climbs',
    ({ storage }) => Object.assign(storage, { development_path: '/../etc' }),
    ['invalid-value'],
  ],
  [
    'a list where a mapping belongs',
    ({ storage }) => Object.assign(storage, { actions: [] }),
    ['unknown-action', 'unknown-action', 'unknown-action', 'invalid-value'],
  ],
  [
    'an agent in a file of another name',
    ({ clerk }) => Object.assign(clerk, { agent: 'clerk' }),
    ['file-name'],
  ],
  [
    'an agent called like the file of a resource',
    ({ clerk }) => Object.assign(clerk, { agent: 'storage' }),
    ['file-name', 'file-name'],
  ],
  ['an unknown key in an operator', ({ sam }) => Object.assign(sam, { may: [] }), ['unknown-key']],
  ['an operator without roles', ({ sam }) => delete sam.roles, ['missing-key', 'kill-without-second-person']],
  ['a role that there is not', ({ sam }) => sam.roles.push('root'), ['invalid-value']],
  ['a role twice', ({ sam }) => sam.roles.push('approver'), ['duplicate-item']],
  ['a wildcard for a role', ({ sam }) => sam.roles.push('*'), ['invalid-value']],
  ['an operator without a key', ({ sam }) => delete sam.keys, ['missing-key']],
  [
    'one key for an agent and an operator',
    ({ sam, writer }) => sam.keys.push(writer.keys[0]),
    ['duplicate-name'],
  ],
  [
    'an operator in a file of another name',
    ({ ada }) => Object.assign(ada, { operator: 'eve' }),
    ['file-name'],
  ],
  [
    'an operator called like an agent',
    ({ ada }) => Object.assign(ada, { operator: 'report-writer' }),
    ['duplicate-name', 'file-name'],
  ],
  [
    'an operator called like the file of a resource',
    ({ ada }) => Object.assign(ada, { operator: 'storage' }),
    ['file-name', 'file-name'],
  ],
  [
    'an operator with the name that is reserved',
    ({ ada }) => Object.assign(ada, { operator: 'mayfly' }),
    ['invalid-value'],
  ],
  [
    'an empty file',
    (policy) => Object.assign(policy, { clerk: null }),
    ['invalid-value', 'missing-key', 'action-unused'],
  ],
  [
    'a number that readers round differently',
    set('customers', 'arguments', { type: 'object', additionalProperties: false, maxProperties: 2 ** 60 }),
    ['inexact-number'],
  ],
  [
    'a zone that nobody lives in',
    ({ zones }) => Object.assign(zones.zones, { attic: { title: 'Empty', may_call: [] } }),
    ['zone-empty'],
  ],
];

/** Sets a field of the first action of a resource. */
function set(resource: 'customers', field: string, value: unknown): (policy: Policy) => void {
  return (policy) => Object.assign(policy[resource].actions['db:read:customers'], { [field]: value });
}

for (const [what, change, rules] of BROKEN) {
  test(`the check finds ${what}`, async () => {
    const loaded = await loadChanged(change);
    assert.deepEqual(rulesOf(loaded).sort(), [...rules].sort());
    const hasErrors = loaded.problems.some(({ severity }) => severity === 'error');
    assert.equal(loaded.catalogue === null, hasErrors);
    for (const { message, fix, line, column } of loaded.problems) {
      assert.ok(
        message.startsWith('expected') || message.includes(': expected') || message.includes('/: expected'),
        message,
      );
      assert.ok(fix.length > 0 && line >= 1 && column >= 1);
    }
  });
}
