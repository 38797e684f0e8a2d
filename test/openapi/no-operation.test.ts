import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Broker } from '../../src/broker.ts';
import { send } from '../http/wire.ts';
import { createTestWorld } from '../test-broker.ts';
import { complaints, contract, operations } from './contract.ts';
import { exchange } from './exchange.ts';

let broker: Broker;
before(async () => {
  const world = await createTestWorld();
  broker = await world.startBroker();
});

test('an unknown path and a wrong method are answered as described', async () => {
  const { NotFound, MethodNotAllowed } = contract.components.responses;
  assert.ok(NotFound !== undefined && MethodNotAllowed !== undefined);
  for (const path of ['/', '/oauth/token/', '/OAUTH/token', '/v1/tokens', '/metrics']) {
    const answer = await exchange(`${broker.url}${path}`);
    assert.equal(answer.status, 404, path);
    assert.deepEqual(complaints(answer, NotFound), [], path);
  }
  const methodsOf = Map.groupBy(operations(), ({ path }) => path);
  methodsOf.delete('/metrics');
  for (const [path, served] of methodsOf) {
    const methods = served.map(({ method }) => method).sort();
    const method = methods.includes('GET') ? 'DELETE' : 'GET';
    const answer = await exchange(`${broker.url}${path}`, { method });
    assert.equal(answer.status, 405, path);
    assert.deepEqual(complaints(answer, MethodNotAllowed), [], path);
    const allowed = methods.flatMap((each) => (each === 'GET' ? ['GET', 'HEAD'] : [each]));
    assert.deepEqual(answer.headers.get('allow'), [allowed.join(', ')]);
  }
});

test('bytes that are no request are answered as described', async () => {
  const { NotARequest } = contract.components.responses;
  assert.ok(NotARequest !== undefined);
  const long = 'x'.repeat(20_000);
  for (const [status, bytes] of [
    [400, 'NONSENSE\r\n\r\n'],
    [431, `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${long}\r\n\r\n`],
    [413, `POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;${long}\r\na\r\n`],
  ] as const) {
    const answer = await send(Number(new URL(broker.url).port), bytes);
    assert.equal(answer?.status, status);
    assert.deepEqual(complaints(answer, NotARequest), []);
  }
});
