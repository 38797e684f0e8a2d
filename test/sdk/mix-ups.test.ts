import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import {
  challenge,
  codeOf,
  METADATA,
  RESOURCE,
  RESOURCE_METADATA,
  startHostileServer,
  TOKEN,
} from './hostile-server.ts';

const server = await startHostileServer();
const other = await startHostileServer();
const thing = `${server.url}/thing`;
const given = { actions: ['a:b:c'] };
beforeEach(() => {
  server.reset();
  other.reset();
});

describe('Mix-ups (SDK-04)', () => {
  const metadata = (members: object) => ({
    status: 200,
    body: { issuer: server.url, token_endpoint: `${server.url}/oauth/token`, ...members },
  });
  for (const [name, members, code] of [
    ['another issuer', { issuer: 'https://other.example.com' }, 'misconfigured'],
    ['its issuer with a slash', { issuer: `${server.url}/` }, 'misconfigured'],
    ['no issuer', { issuer: undefined }, 'misconfigured'],
    ['an endpoint elsewhere', { token_endpoint: `${other.url}/oauth/token` }, 'protocol'],
    ['an endpoint without TLS', { token_endpoint: 'http://example.com/oauth/token' }, 'protocol'],
    ['an endpoint that is a script', { token_endpoint: 'javascript:alert(1)' }, 'protocol'],
    ['no endpoint', { token_endpoint: undefined }, 'protocol'],
    ['a list of endpoints', { token_endpoint: [`${server.url}/oauth/token`] }, 'protocol'],
  ] as const) {
    test(`A broker whose metadata names ${name} gets nothing`, async () => {
      server.answers(METADATA, metadata(members));
      assert.equal(await codeOf(server.createAgent().token(given)), code);
      assert.deepEqual([server.lines(), other.lines()], [[METADATA], []]);
    });
  }

  test('Metadata without an end, or that is none, is no metadata', async () => {
    for (const body of ['x'.repeat(100_000), '[]', 'null', '{', '"a"']) {
      server.answers(METADATA, { status: 200, body });
      assert.equal(await codeOf(server.createAgent().token(given)), 'misconfigured');
    }
  });

  test('A broker that redirects is not followed', async () => {
    server.answers(METADATA, { status: 302, headers: { Location: `${other.url}/` } });
    assert.equal(await codeOf(server.createAgent().token(given)), 'protocol');
    server.reset();
    server.answers(TOKEN, { status: 307, headers: { Location: `${other.url}/oauth/token` } });
    assert.equal(await codeOf(server.createAgent().token(given)), 'protocol');
    assert.deepEqual([server.times(TOKEN), other.lines()], [1, []]);
  });

  for (const [name, members, code] of [
    ['takes tokens of others', { authorization_servers: ['https://other.example.com'] }, 'misconfigured'],
    ['names no broker', { authorization_servers: undefined }, 'misconfigured'],
    ['is about a neighbour', { resource: 'https://bank.example.com' }, 'protocol'],
    ['is about another path', { resource: `${server.url}/th` }, 'protocol'],
    ['is about nothing', { resource: undefined }, 'protocol'],
  ] as const) {
    test(`A resource whose metadata ${name} gets no token`, async () => {
      server.answers(RESOURCE_METADATA, {
        status: 200,
        body: { resource: server.url, authorization_servers: [server.url], ...members },
      });
      assert.equal(await codeOf(server.createAgent().fetch(thing)), code);
      assert.equal(server.times(TOKEN), 0);
      assert.ok(server.asked.every(({ headers }) => headers.authorization === undefined));
    });
  }

  test('A resource that says that its metadata is elsewhere is not believed', async () => {
    for (const url of [`${other.url}/metadata`, 'http://example.com/', 'file:///etc/passwd', '']) {
      server.answers(RESOURCE, { status: 401, headers: challenge('x', `, resource_metadata="${url}"`) });
      assert.equal(await codeOf(server.createAgent().fetch(thing)), 'protocol', url);
    }
    assert.deepEqual(other.lines(), []);
  });

  test('A 401 of somebody who has no metadata is his answer', async () => {
    server.answers(RESOURCE, { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } });
    server.answers(RESOURCE_METADATA, { status: 404 });
    assert.equal((await server.createAgent().fetch(thing)).status, 401);
    assert.equal(server.times(TOKEN), 0);
  });
});
