import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Action, Agent, Catalogue } from '../../src/catalogue/catalogue.ts';
import { loadCatalogue } from '../../src/catalogue/load-catalogue.ts';
import { Refusal } from '../../src/errors/refusal.ts';
import type { Call } from '../../src/tokens/call.ts';
import { decideGrant, resourceAliases } from '../../src/tokens/decide-grant.ts';
import type { TokenRequest } from '../../src/tokens/token-request.ts';
import { fc } from '../properties.ts';

let catalogue: Catalogue;
before(async () => {
  const loaded = await loadCatalogue(fileURLToPath(new URL('../../scopes', import.meta.url)));
  assert.ok(loaded.catalogue);
  catalogue = loaded.catalogue;
});

function agent(name = 'report-writer'): Agent {
  const found = catalogue.agents.get(name);
  assert.ok(found);
  return found;
}

function decide(request: Partial<TokenRequest>, by = agent(), from = catalogue) {
  const whole = { actions: [], resource: undefined, call: undefined, ttlSeconds: undefined, ...request };
  return decideGrant(whole, {
    agent: by,
    catalogue: from,
    resourceAliases: resourceAliases(from, 'http://127.0.0.1:8421'),
  });
}

function reasonOf(decision: () => unknown): string {
  try {
    decision();
  } catch (error) {
    assert.ok(error instanceof Refusal);
    return error.reason;
  }
  return 'granted';
}

function callOf(action: string): Call {
  const arguments_digest = 'RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o';
  return {
    type: 'mayfly_call',
    action,
    method: 'POST',
    url: 'https://storage.example.com/exports',
    arguments_digest,
  };
}

test('an unknown action and one that is not granted get the same answer, which names file and owner', () => {
  const refusals = ['db:read:secrets', 'billing:read:invoices', 'db:delete:customers', 'constructor'].map(
    (name) => {
      try {
        decide({ actions: [name] });
      } catch (error) {
        assert.ok(error instanceof Refusal);
        return { code: error.code, reason: error.reason, hint: error.hint };
      }
      return null;
    },
  );
  assert.equal(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size, 1);
  assert.match(refusals[0]?.hint ?? '', /scopes\/agents\/report-writer\.yaml/);
  assert.match(refusals[0]?.hint ?? '', /data-platform/);
});

test('one action that is not granted refuses all of them', () => {
  assert.equal(
    reasonOf(() => decide({ actions: ['db:read:customers', 'db:delete:customers'] })),
    'action_not_granted',
  );
});

test('actions of several resources need a resource, and the token is for that one alone', () => {
  const actions = ['db:read:customers', 'storage:list:exports', 'db:read:orders'];
  assert.equal(
    reasonOf(() => decide({ actions })),
    'resource_ambiguous',
  );
  const grant = decide({ actions, resource: 'https://customers.example.com' });
  assert.deepEqual(grant.actions, ['db:read:customers', 'db:read:orders']);
  assert.equal(grant.resource, 'https://customers.example.com');
});

test('a resource that none of the actions belongs to is refused', () => {
  const actions = ['db:read:customers'];
  assert.equal(
    reasonOf(() => decide({ actions, resource: 'https://storage.example.com' })),
    'resource_mismatch',
  );
  assert.equal(
    reasonOf(() => decide({ actions, resource: 'https://nowhere.example.com' })),
    'resource_unknown',
  );
});

test('a resource has few spellings, and only where a sample server plays it others', () => {
  const actions = ['db:read:customers'];
  for (const resource of [
    'https://customers.example.com/',
    'http://127.0.0.1:8421',
    'http://127.0.0.1:8421/',
  ]) {
    assert.equal(decide({ actions, resource }).resource, 'https://customers.example.com');
  }
  for (const resource of [
    'https://CUSTOMERS.example.com',
    'https://customers.example.com//',
    'http://127.0.0.1:8421/exports',
  ]) {
    assert.notEqual(
      reasonOf(() => decide({ actions, resource })),
      'granted',
      resource,
    );
  }
});

test('an action for single calls is had only with a call, and then for a minute', () => {
  const actions = ['storage:write:exports'];
  assert.equal(
    reasonOf(() => decide({ actions })),
    'action_needs_request_token',
  );
  const grant = decide({ actions, call: callOf('storage:write:exports'), ttlSeconds: 300 });
  assert.equal(grant.lifetimeSeconds, 60);
  assert.equal(grant.call?.action, 'storage:write:exports');
});

test('an action that needs approval is refused as such, with a call or without', () => {
  const clerk = agent('support-assistant');
  for (const call of [undefined, callOf('db:export:customers')]) {
    assert.equal(
      reasonOf(() => decide({ actions: ['db:export:customers'], call }, clerk)),
      'action_needs_approval',
    );
  }
});

test('a zone that may not be called refuses what the grant would allow', () => {
  const stranded = { ...agent(), zone: 'shared' };
  assert.equal(
    reasonOf(() => decide({ actions: ['db:read:customers'] }, stranded)),
    'action_not_granted',
  );
});

test('a token lives as long as was asked, never longer than its strictest action allows', () => {
  const bounds = fc
    .tuple(fc.integer({ min: 60, max: 900 }), fc.integer({ min: 60, max: 900 }))
    .map(([a, b]) => ({
      defaultSeconds: Math.min(a, b),
      maxSeconds: Math.max(a, b),
    }));
  fc.assert(
    fc.property(
      fc.array(bounds, { minLength: 1, maxLength: 5 }),
      fc.option(fc.integer({ min: 60, max: 900 }), { nil: undefined }),
      fc.boolean(),
      (lifetimes, ttlSeconds, single) => {
        const names = lifetimes.map((_, index) => `db:read:thing-${index}`);
        const template = catalogue.actions.get('db:read:customers');
        assert.ok(template);
        const actions = new Map(
          lifetimes.map((lifetime, index): [string, Action] => {
            const name = names[index] ?? '';
            return [name, { ...template, name, lifetime }];
          }),
        );
        const asked = single ? names.slice(0, 1) : names;
        const grant = decide(
          { actions: asked, ttlSeconds, call: single ? callOf(names[0] ?? '') : undefined },
          { ...agent(), may: names },
          { ...catalogue, actions },
        );
        const counted = single ? lifetimes.slice(0, 1) : lifetimes;
        const ceiling = Math.min(...counted.map((l) => l.maxSeconds), single ? 60 : 900);
        assert.ok(grant.lifetimeSeconds <= ceiling);
        assert.equal(
          grant.lifetimeSeconds,
          Math.min(ceiling, ttlSeconds ?? Math.min(...counted.map((l) => l.defaultSeconds))),
        );
      },
    ),
  );
});
