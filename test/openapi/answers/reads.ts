/** What anybody may read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../broker-process.ts';
import { exchange, FORM } from '../exchange.ts';
import { broker, hold, stage } from './asked.ts';

export const READS = [
  ['GET /oauth/authorize', '400 unsupported_response_type'],
  ['GET /.well-known/oauth-authorization-server', '200'],
  ['GET /.well-known/oauth-protected-resource', '200'],
  ['GET /.well-known/jwks.json', '200'],
  ['GET /.well-known/mayfly-ledger-jwks.json', '200'],
  ['GET /livez', '200'],
  ['GET /readyz', '200'],
  ['GET /metrics', '200'],
] as const;

for (const [operation, expected] of READS) {
  test(`${operation} answers as described, and HEAD with the same headers`, async () => {
    const path = operation.slice('GET '.length);
    const url = path === '/metrics' ? `${broker.metricsUrl}${path}` : stage.url(path);
    const answer = await exchange(url);
    hold(operation, expected, answer);
    const head = await exchange(url, { method: 'HEAD' });
    assert.deepEqual({ status: head.status, body: head.body }, { status: answer.status, body: '' });
    assert.deepEqual([...head.headers.keys()].sort(), [...answer.headers.keys()].sort());
    const withBody = { headers: { 'Content-Type': FORM }, body: 'a=b' };
    hold(operation, '400 invalid_request', await exchange(url, withBody));
    hold(operation, '400 invalid_dpop_proof', await exchange(url, { headers: { DPoP: ['a', 'b'] } }));
  });
}

/** The log as anybody watches it. */
export const WATCHED = [
  ['GET /v1/audit/checkpoint', '/v1/audit/checkpoint'],
  ['GET /v1/audit/keys', '/v1/audit/keys'],
  ['GET /v1/audit/consistency', '/v1/audit/consistency?from=1'],
  ['GET /v1/audit/tile/{path}', '/v1/audit/tile/0/000.p/1'],
] as const;

const TILE = 'GET /v1/audit/tile/{path}';

test('the log is watched as described', async () => {
  await until(
    async () => (await exchange(stage.url('/v1/audit/checkpoint'))).status === 200,
    'a head is signed',
  );
  for (const [operation, path] of WATCHED) {
    hold(operation, '200', await exchange(stage.url(path)));
    const withBody = { headers: { 'Content-Type': FORM }, body: 'a=b' };
    hold(operation, '400 invalid_request', await exchange(stage.url(path), withBody));
  }
  hold(TILE, '404 not_found', await exchange(stage.url('/v1/audit/tile/0/999')));
  const backwards = await exchange(stage.url('/v1/audit/consistency?from=2&to=1'));
  hold('GET /v1/audit/consistency', '400 invalid_request', backwards);
  const unheard = await exchange(stage.url('/v1/audit/checkpoint?cosigned=1'));
  hold('GET /v1/audit/checkpoint', '404 checkpoint_missing', unheard);
});
