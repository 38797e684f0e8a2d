import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCatalogue } from '../src/catalogue/load-catalogue.ts';
import { readConfiguration } from '../src/config/configuration.ts';
import { requireFittingCatalogue } from '../src/fitting-catalogue.ts';
import { loadAws } from './catalogue/aws-fixture.ts';

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

test('what gives AWS credentials lies below the issuer, since the broker serves it', async () => {
  const { catalogue: giving } = await loadAws();
  assert.ok(giving);
  const served = (issuer: string) => () =>
    requireFittingCatalogue({ ...readConfiguration({}), issuer }, giving);
  served('https://broker.example.com')();
  assert.throws(
    served('https://other.example.com'),
    /its resource has to be https:\/\/other\.example\.com\/v1\/aws/,
  );
});
