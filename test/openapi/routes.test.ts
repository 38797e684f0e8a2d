import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Capabilities, routesOf } from '../../src/app.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import type { Route } from '../../src/http/route.ts';
import { metricsRoutes } from '../../src/metrics-routes.ts';
import { operations, type ResponseObject, resolve } from './contract.ts';

const BODIES = { form: 'application/x-www-form-urlencoded', json: 'application/json' };
const ERRORS = { oauth: 'application/json', problem: 'application/problem+json' };

/** The table of contents with nothing behind it: only what it says is looked at, nothing is asked to answer. */
const routes: Route[] = [
  ...routesOf(new Proxy({}, { get: () => ({}) }) as unknown as Capabilities),
  ...metricsRoutes(createMetrics()),
];

test('the document has the operations of the code, and no others', () => {
  const described = operations().map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual(described.sort(), routes.map(nameOf).sort());
});

for (const route of routes) {
  test(`${nameOf(route)} is described with its caller, its body and its kind of error`, () => {
    const found = operations().find(({ method, path }) => `${method} ${path}` === nameOf(route));
    assert.ok(found);
    assert.equal(found.operation['x-caller'], route.may);
    const bodies = Object.keys(found.operation.requestBody?.content ?? {});
    assert.deepEqual(bodies, route.body === undefined ? [] : [BODIES[route.body]]);
    for (const [status, response] of Object.entries(found.operation.responses)) {
      if (Number(status) < 400 || (route.path === '/readyz' && status === '503')) continue;
      const types = Object.keys(resolve<ResponseObject>(response).content ?? {});
      assert.deepEqual(types, [ERRORS[route.format]], status);
    }
  });
}

function nameOf({ method, path }: Route): string {
  return `${method} ${path.replaceAll(/[:*](\w+)/g, '{$1}')}`;
}
