import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { silentLog } from '../../src/errors/log.ts';
import { readDevelopmentKey } from '../../src/sample/development-key.ts';
import { startResourceServer } from '../../src/sample/resource-server.ts';
import {
  type BoundSession,
  callWithToken,
  type Exchange,
  openSession,
  send,
} from '../../src/sdk/bound-session.ts';
import { type Client, createClient } from '../../src/sdk/client.ts';
import { systemClock } from '../../src/time/clock.ts';
import { digestOfArguments } from '../../src/verifier/index.ts';
import {
  createPlace,
  type Place,
  type Running,
  runMayfly,
  startDevelopmentBroker,
} from './development-broker.ts';

const STEPS = 18;

let place: Place;
let broker: Running;

before(async () => {
  place = await createPlace();
});
after(async () => {
  await broker?.stop();
  await place.remove();
});

describe('Before there is a broker', () => {
  test('the resource server says where keys come from, and ends', async () => {
    const server = runMayfly('resource-server', place);
    assert.equal(await server.ended(), 1);
    assert.match(server.output(), /There is no key at .*customers\.jwk\.json\. .*run `npm start`/);
    assert.doesNotMatch(server.output(), /\bat \w+ \(/, 'no stack');
  });

  test('the tour starts one, shows every step, stops it and ends well', async () => {
    const tour = runMayfly('tour', place);
    assert.equal(await tour.ended(), 0, tour.output());
    assert.match(tour.output(), /one was started for this tour/);
    assert.equal(tour.output().match(/✔/g)?.length, STEPS);
    assert.match(tour.output(), /✔ Refused \d{1,4} milliseconds after olivia began to ask for it/);
    assert.match(tour.output(), /✔ The signature is good\. Epoch \d+, committed at /);
    assert.match(tour.output(), /Everything went as it has to/);
    await assert.rejects(fetch(place.configuration.issuer), 'the broker is gone');
  });

  test('the resource server waits for it, and answers 503 meanwhile', async () => {
    const server = runMayfly('resource-server', place);
    await server.says('no broker yet');
    const url = `http://127.0.0.1:${place.configuration.samplePort}/customers`;
    const session = await openSession();
    const [refused] = await callWithToken(session, { method: 'GET', url, token: FORGED });
    assert.equal(refused?.response.status, 503);
    assert.equal(refused?.response.headers.get('retry-after'), '1');
    assert.match(refused?.response.body ?? '', /"code":"temporarily_unavailable"/);
    broker = await startDevelopmentBroker(place);
    await server.says('answers.');
    const [unknown] = await callWithToken(session, { method: 'GET', url, token: FORGED });
    assert.equal(unknown?.response.status, 401);
    assert.equal(await server.stop(), 0);
  });
});

/** Well-formed, so that its key is looked for. */
const FORGED = ['{"alg":"EdDSA","typ":"at+jwt","kid":"key-1"}', '{}', 'x'.repeat(64)]
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.');

describe('The resource server', () => {
  let server: Awaited<ReturnType<typeof startResourceServer>>;
  let agent: Client;
  let session: BoundSession;

  before(async () => {
    const { configuration } = place;
    const { issuer } = configuration;
    server = await startResourceServer({ configuration, log: silentLog, clock: systemClock });
    await server.brokerFound;
    const key = readDevelopmentKey('report-writer', configuration);
    agent = await createClient({
      name: 'report-writer',
      key,
      issuer,
      tokenEndpoint: `${issuer}/oauth/token`,
    });
    session = await openSession();
  });
  after(() => server.stop());

  const last = (exchanges: Exchange[]) => {
    const { status, body, headers } = exchanges.at(-1)?.response ?? assert.fail();
    return { status, headers, json: body === '' ? null : JSON.parse(body) };
  };
  const token = async (fields: Record<string, string>) =>
    last(await agent.askForToken(session, fields)).json.access_token;
  const call = async (of: { method: string; path: string; token: string; json?: unknown }) => {
    const { path, ...rest } = of;
    return last(await callWithToken(session, { ...rest, url: `${server.url}${path}` }));
  };

  async function exportToken(json: unknown): Promise<string> {
    const details = {
      type: 'mayfly_call',
      action: 'storage:write:exports',
      method: 'POST',
      url: `${server.url}/exports`,
      arguments_digest: digestOfArguments(json),
    };
    return token({ authorization_details: JSON.stringify([details]) });
  }

  test('describes its resources (RFC 9728)', async () => {
    const { issuer } = place.configuration;
    const describes = async (path: string) => {
      const response = await fetch(`${server.url}/.well-known/oauth-protected-resource${path}`);
      assert.equal(response.status, 200);
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
      return response.json();
    };
    const common = {
      authorization_servers: [issuer],
      bearer_methods_supported: ['header'],
      dpop_bound_access_tokens_required: true,
      dpop_signing_alg_values_supported: ['ES256', 'Ed25519', 'EdDSA'],
    };
    assert.deepEqual(await describes(''), {
      ...common,
      resource: server.url,
      resource_name: 'Customers',
      scopes_supported: ['db:read:customers'],
    });
    assert.deepEqual(await describes('/exports'), {
      ...common,
      resource: `${server.url}/exports`,
      resource_name: 'Exports',
      scopes_supported: ['storage:write:exports'],
    });
    assert.deepEqual(await describes('/mcp'), {
      ...common,
      resource: `${server.url}/mcp`,
      resource_name: 'Tools',
      scopes_supported: ['tools:search:documents', 'tools:create:tickets', 'tools:run:playbooks'],
    });
    assert.equal((await fetch(`${server.url}/.well-known/oauth-protected-resource/customers`)).status, 404);
  });

  test('names in each challenge the action and the metadata of that resource', async () => {
    const challenges = await Promise.all(
      [
        ['GET', '/customers'],
        ['POST', '/exports'],
      ].map(async ([method = '', path = '']) => {
        const response = await fetch(`${server.url}${path}`, { method });
        assert.equal(response.status, 401);
        return response.headers.get('www-authenticate');
      }),
    );
    const metadata = `resource_metadata="${server.url}/.well-known/oauth-protected-resource`;
    assert.deepEqual(challenges, [
      `DPoP scope="db:read:customers", algs="ES256 Ed25519 EdDSA", ${metadata}"`,
      `DPoP scope="storage:write:exports", algs="ES256 Ed25519 EdDSA", ${metadata}/exports"`,
    ]);
  });

  test('asks for each of its tools for a token of its own (MCP)', async () => {
    const scopeFor = async (message: unknown) => {
      const headers = { 'Content-Type': 'application/json' };
      const init = { method: 'POST', headers, body: JSON.stringify(message) };
      const response = await fetch(`${server.url}/mcp`, init);
      assert.equal(response.status, 401);
      return /scope="([^"]+)"/.exec(response.headers.get('www-authenticate') ?? '')?.[1];
    };
    const call = (name: unknown) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } });
    assert.equal(await scopeFor(call('create_ticket')), 'tools:create:tickets');
    assert.equal(await scopeFor(call('run_playbook')), 'tools:run:playbooks');
    const others = [call('__proto__'), call(null), { method: 'tools/list', params: null }, [call('x')], []];
    for (const other of others) assert.equal(await scopeFor(other), 'tools:search:documents');
  });

  test('gives customers for a token that was asked for under its own address', async () => {
    const accessToken = await token({ scope: 'db:read:customers', resource: server.url });
    const { status, json, headers } = await call({ method: 'GET', path: '/customers', token: accessToken });
    assert.equal(status, 200);
    assert.equal(json.read_by, 'report-writer');
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(headers.get('etag'), null);
  });

  test('does not take a token for one of its resources at the other', async () => {
    const accessToken = await token({ scope: 'db:read:customers' });
    assert.equal(
      (await call({ method: 'POST', path: '/exports', token: accessToken, json: {} })).status,
      401,
    );
  });

  test('stores an export once, exactly the one that the token names', async () => {
    const json = { name: 'weekly', format: 'csv', rows: 3 };
    const accessToken = await exportToken(json);
    const send = (body: unknown) =>
      call({ method: 'POST', path: '/exports', token: accessToken, json: body });
    assert.equal((await send({ ...json, rows: 4 })).status, 401);
    const stored = await send({ rows: 3, format: 'csv', name: 'weekly' });
    assert.deepEqual(
      [stored.status, stored.json],
      [201, { stored: 'weekly.csv', stored_by: 'report-writer' }],
    );
    const again = await send(json);
    assert.deepEqual([again.status, again.json.code], [401, 'invalid_token']);
  });

  test('reads JSON by any of its names', async () => {
    const json = { name: 'weekly.csv', format: 'csv' };
    const url = `${server.url}/exports`;
    const token = await exportToken(json);
    const headers = { Authorization: `DPoP ${token}`, 'Content-Type': 'application/vnd.api+json' };
    const body = JSON.stringify(json);
    assert.equal(last(await session.send({ method: 'POST', url, token, headers, body })).status, 201);
  });

  test('answers 422 for arguments that no export has, 400 for a body that is no JSON, 413 for a large one', async () => {
    const json = { name: '../etc', format: 'csv' };
    const odd = await call({ method: 'POST', path: '/exports', token: await exportToken(json), json });
    assert.deepEqual([odd.status, odd.json.code], [422, 'arguments_invalid']);
    const post = (body: string) =>
      fetch(`${server.url}/exports`, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json' },
      });
    for (const [body, status] of [
      ['{', 400],
      ['x'.repeat(70_000), 413],
    ] as const) {
      const response = await post(body);
      assert.equal(response.status, status);
      assert.equal(response.headers.get('content-type'), 'application/problem+json; charset=utf-8');
    }
  });

  test('answers 405 with Allow for other methods, 404 for other paths and spellings', async () => {
    for (const [method, path, status, allow] of [
      ['POST', '/customers', 405, 'GET, HEAD'],
      ['GET', '/exports', 405, 'POST'],
      ['GET', '/mcp', 405, 'POST'],
      ['DELETE', '/.well-known/oauth-protected-resource', 405, 'GET, HEAD'],
      ['GET', '/Customers', 404, null],
      ['GET', '/customers/', 404, null],
      ['GET', '/', 404, null],
    ] as const) {
      const response = await fetch(`${server.url}${path}`, { method });
      assert.deepEqual(
        [response.status, response.headers.get('allow')],
        [status, allow],
        `${method} ${path}`,
      );
      assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/);
    }
  });

  test('is not fooled by a replay', async () => {
    const accessToken = await token({ scope: 'db:read:customers' });
    const [seen] = (
      await callWithToken(session, { method: 'GET', url: `${server.url}/customers`, token: accessToken })
    ).slice(-1);
    assert.equal(seen?.response.status, 200);
    const replayed = await send(seen?.request ?? assert.fail());
    assert.equal(replayed.response.status, 401);
    assert.match(replayed.response.headers.get('www-authenticate') ?? '', /error="invalid_dpop_proof"/);
  });

  test('a second one on the same port is told which setting to change', async () => {
    const second = runMayfly('resource-server', place);
    assert.equal(await second.ended(), 1);
    assert.match(second.output(), /MAYFLY_SAMPLE_PORT/);
    assert.doesNotMatch(second.output(), /\bat \w+ \(/, 'no stack');
  });

  test('the tour uses it, and the broker that runs, and leaves both running', async () => {
    const tour = runMayfly('tour', place);
    assert.equal(await tour.ended(), 0, tour.output());
    assert.doesNotMatch(tour.output(), /one was started/);
    assert.equal((await fetch(`${server.url}/customers`)).status, 401);
    assert.ok(!tour.output().includes('\u001b['), 'no colours where nobody sees them');
    assert.doesNotMatch(tour.output(), /eyJ[\w-]{20,}/, 'no whole token');
  });
});

describe('The tour', () => {
  for (const words of ['Pull the kill switch', 'Verify the receipt', 'Release it alone']) {
    test(`leaves nothing stopped when it is cut short at "${words}"`, async () => {
      const tour = runMayfly('tour', place);
      await tour.says(words);
      tour.child.kill('SIGINT');
      assert.equal(await tour.ended(), 130, tour.output());
      const key = readDevelopmentKey('report-writer', place.configuration);
      const { issuer } = place.configuration;
      const options = { name: 'report-writer', key, issuer, tokenEndpoint: `${issuer}/oauth/token` };
      const agent = await createClient(options);
      const [answer] = (await agent.askForToken(await openSession(), { scope: 'db:read:customers' })).slice(
        -1,
      );
      assert.equal(answer?.response.status, 200);
    });
  }

  test('ends with 1 when a resource server lets a replay through', async () => {
    const { issuer, samplePort } = place.configuration;
    const careless = createServer((request, response) => {
      const isMetadata = request.url?.startsWith('/.well-known/');
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(isMetadata ? { authorization_servers: [issuer] } : { data: 'everything' }));
    }).listen(samplePort, '127.0.0.1');
    await once(careless, 'listening');
    const tour = runMayfly('tour', place);
    assert.equal(await tour.ended(), 1);
    assert.match(tour.output(), /✘ This was to be 401 invalid_dpop_proof/);
    assert.match(tour.output(), /step 3, "Replay the very same request", went otherwise/);
    careless.closeAllConnections();
    careless.close();
  });

  test('does not take the resource server of another broker for its own', async () => {
    const foreign = createServer((_request, response) => void response.end('{}'));
    foreign.listen(place.configuration.samplePort, '127.0.0.1');
    await once(foreign, 'listening');
    const tour = runMayfly('tour', place);
    assert.equal(await tour.ended(), 1);
    assert.match(tour.output(), /belongs to another broker\. Choose another MAYFLY_SAMPLE_PORT/);
    foreign.closeAllConnections();
    foreign.close();
  });
});
