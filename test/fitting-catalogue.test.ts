import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue } from '../src/catalogue/load-catalogue.ts';
import { readConfiguration } from '../src/config/configuration.ts';
import { requireFittingCatalogue } from '../src/fitting-catalogue.ts';

const { catalogue } = await loadCatalogue('scopes');
assert.ok(catalogue);

test('no resource can be called like the issuer: kills of everything pass its tokens by', () => {
  const resource = 'https://customers.example.com';
  assert.ok(catalogue.resources.has(resource));
  requireFittingCatalogue(readConfiguration({}), catalogue);
  const configuration = { ...readConfiguration({}), issuer: resource };
  assert.throws(
    () => requireFittingCatalogue(configuration, catalogue),
    /customers\.example\.com is the issuer/,
  );
});
