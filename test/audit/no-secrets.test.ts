/**
 * Secrets in every field of every request, with and without good credentials: none of them comes out again, wherever
 * mayfly writes. What is written down on purpose is left out: reasons, and the plain short name of a request.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { createLog } from '../../src/log.ts';
import { readSinks } from '../../src/sinks/read-sinks.ts';
import { until } from '../broker-process.ts';
import { createAuditWorld } from '../cli/audit-world.ts';
import { operations, resolve, type Schema } from '../openapi/contract.ts';
import { createTestAgent, newSessionKey, nowSeconds } from '../test-agent.ts';
import { createTestOperator } from '../test-operator.ts';

const CUSTOMERS = 'https://customers.example.com';
const WHY = { reason: 'a test' };

const planted: string[] = [];
const remember = (secret: string): string => {
  planted.push(secret);
  return secret;
};
const plant = () => remember(`s3cr3t${randomBytes(16).toString('hex')}`);
/** As a token looks; the parts count, since a part of one is as bad. */
const plantJwt = () => {
  const part = () => remember(randomBytes(24).toString('base64url'));
  return `eyJhbGciOiJFUzI1NiJ9.${part()}.${part()}`;
};
/** What is good, and as secret. */
const keep = (jwt: string): string => {
  for (const part of jwt.split('.').slice(1)) remember(part);
  return jwt;
};

const audit = await createAuditWorld();
after(() => audit.close());
const { world, issuer } = audit;
const logged: string[] = [];
const files = { native: audit.file('native.jsonl'), ocsf: audit.file('ocsf.jsonl') };
const { sinks, problems } = readSinks({
  file: 'sinks.yaml',
  text: `
sinks:
  native: { kind: file, path: ${files.native} }
  ocsf: { kind: file, format: ocsf, path: ${files.ocsf} }
`,
  environment: {},
});
assert.deepEqual(problems, []);
const broker = await world.startBroker({
  settings: { MAYFLY_ISSUER: issuer },
  log: createLog('debug', { write: (line: string) => void logged.push(line) }),
  sinks,
});

function clientOf(clientId: string, file = clientId) {
  const key = world.scopes.keys.get(file);
  assert.ok(key, clientId);
  return { url: broker.url, issuer, clientId, key };
}
const agent = createTestAgent(clientOf('report-writer'));
const server = createTestAgent(clientOf(CUSTOMERS, 'customers'));
const olivia = createTestOperator(clientOf('olivia'));

type Parameter = { name: string; in: string };

/** An object of this shape with a secret in each member, or null for no body. */
function secretsFor(schema: Schema | undefined): Record<string, unknown> | null {
  if (schema === undefined) return null;
  const { properties = {} } = resolve(schema as { $ref: string }) as { properties?: Record<string, Schema> };
  const names = [...Object.keys(properties), 'client_assertion', 'client_secret', plant()];
  return Object.fromEntries(names.map((name) => [name, name === 'client_assertion' ? plantJwt() : plant()]));
}

test('AUD-06: secrets in every field that the document knows of come out nowhere', async () => {
  for (const { method, path, operation } of operations()) {
    const parameters = (operation.parameters ?? []).map((parameter) => resolve(parameter as Parameter));
    const query = parameters.filter((parameter) => parameter.in === 'query');
    const headers = parameters.filter((parameter) => parameter.in === 'header');
    const [[type, media] = []] = [Object.entries(operation.requestBody?.content ?? {})[0]];
    const body = secretsFor(media?.schema);
    for (const authorization of [`DPoP ${plantJwt()}`, `Bearer ${plantJwt()}`, `Basic ${plant()}`]) {
      const url = `${broker.url}${path.replace(/\{\w+\}/g, plant)}?${query.map(({ name }) => `${name}=${plant()}`).join('&')}`;
      const answer = await fetch(url, {
        method,
        headers: {
          ...Object.fromEntries(headers.map(({ name }) => [name, plant()])),
          Authorization: authorization,
          DPoP: plantJwt(),
          Cookie: `session=${plant()}`,
          'User-Agent': plant(),
          'Request-Id': plantJwt(),
          ...(type === undefined ? {} : { 'Content-Type': type }),
        },
        ...(body === null
          ? {}
          : {
              body:
                type === 'application/json'
                  ? JSON.stringify(body)
                  : new URLSearchParams(body as Record<string, string>),
            }),
      });
      assert.ok(answer.status !== 500, `${method} ${path}: ${answer.status}`);
      await answer.body?.cancel();
    }
  }
});

test('nor do those of whoever is let in, and what lets it in', async () => {
  const session = newSessionKey();
  const assertion = () => keep(agent.assertion({ claims: { jti: plant(), secret: plant() } }));
  const proof = () => keep(agent.proof(session, { claims: { jti: plant(), secret: plant() } }));
  const ask = (fields: Record<string, string>) =>
    agent.request(session, { client_assertion: assertion(), ...fields }, proof());
  const minted = await ask({});
  assert.equal(minted.status, 200, minted.text);
  const token = keep(minted.body.access_token);
  const call = {
    type: 'mayfly_call',
    action: 'db:read:customers',
    method: 'GET',
    arguments_digest: createHash('sha256').digest('base64url'),
  };
  const url = `${CUSTOMERS}/${plant()}?key=${plant()}`;
  const once = await ask({ authorization_details: JSON.stringify([{ ...call, url }]) });
  assert.equal(once.status, 200, once.text);
  for (const fields of [
    { scope: plant() },
    { scope: `db:read:customers ${plant()}` },
    { resource: plant() },
    { ttl_seconds: plant() },
    { grant_type: plant() },
    { client_id: plant() },
    { authorization_details: JSON.stringify([{ ...call, action: plant(), url }]) },
  ]) {
    const refused = await ask(fields as unknown as Record<string, string>);
    assert.ok(refused.status >= 400 && refused.status < 500, refused.text);
  }
  for (const asked of [token, plantJwt(), plant()]) {
    await server.post('/oauth/introspect', server.authenticated({ token: asked, token_type_hint: plant() }));
    await agent.post('/oauth/revoke', agent.authenticated({ token: asked }));
  }
  const asServer = (path: string, body: object) =>
    fetch(`${broker.url}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ ...server.authenticated({}), ...body }),
    });
  await asServer(`/v1/tokens/${plant()}/consume`, { nonce: plant() });
  const name = remember(randomBytes(16).toString('hex'));
  const spent = await asServer('/v1/proofs/spend', {
    nonce: plant(),
    proofs: [{ name, filed_at: nowSeconds() }],
  });
  assert.equal(spent.status, 200);
});

test('nor those of operators', async () => {
  const get = (path: string, action: Parameters<typeof olivia.get>[1]) => olivia.get(path, action);
  for (const path of [
    `/v1/sessions/${plant()}`,
    `/v1/sessions?agent=${plant()}`,
    `/v1/sessions?${plant()}=x`,
  ])
    await get(path, 'mayfly:read:sessions');
  for (const filter of ['actor', 'session', 'agent', 'action', 'outcome', 'since', 'cursor'])
    await get(`/v1/audit/entries?${filter}=${plant()}`, 'mayfly:read:audit');
  await get(`/v1/audit/entries/${plant()}`, 'mayfly:read:audit');
  const key = { 'Idempotency-Key': plant() };
  const target = { kind: 'agent', id: plant() };
  for (const [path, action, body] of [
    [`/v1/agents/${plant()}/revoke`, 'mayfly:revoke:agents', WHY],
    [`/v1/signing-keys/${plant()}/revoke`, 'mayfly:revoke:signing-keys', WHY],
    [`/v1/tokens/${plant()}/revoke`, 'mayfly:revoke:tokens', WHY],
    [`/v1/kill-switch/${plant()}/release`, 'mayfly:release:kill-switch', WHY],
    ['/v1/kill-switch', 'mayfly:engage:kill-switch', { ...WHY, target }],
    ['/v1/agents/report-writer/revoke', 'mayfly:revoke:agents', { ...WHY, [plant()]: plant() }],
    ['/v1/agents/report-writer/revoke', 'mayfly:revoke:agents', WHY],
  ] as const) {
    await olivia.post(path, action, body, key);
  }
});

test('not in the record, the export, the sinks, the log, nor the metrics', async () => {
  const count = async () =>
    Number((await world.query<{ n: string }>('select count(*) as n from audit_entries'))[0]?.n);
  assert.ok((await count()) > 100, 'much was recorded');
  assert.ok(planted.length > 500, 'much was planted');
  await until(
    async () => (await audit.sizeNow()) >= (await count()),
    'a signed head over everything',
    60_000,
  );
  const size = await audit.sizeNow();
  const linesOf = (path: string) =>
    existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
  for (const path of Object.values(files)) await until(() => linesOf(path).length >= size, path, 60_000);
  const exported = await audit.mayfly(`audit export --from 0 --to ${size}`);
  assert.equal(exported.code, 0, exported.stderr);
  const written = {
    record: (await world.query<{ line: string }>('select e::text as line from audit_entries e')).map(
      ({ line }) => line,
    ),
    export: [exported.stdout],
    native: linesOf(files.native),
    ocsf: linesOf(files.ocsf),
    log: logged,
    metrics: [await (await fetch(`${broker.metricsUrl}/metrics`)).text()],
  };
  assert.ok(exported.stdout.split('\n').length > size && logged.length > 0);
  for (const [where, lines] of Object.entries(written)) {
    const text = lines.join('\n');
    const [found] = planted.filter((secret) => text.includes(secret));
    const line = lines.find((each) => found !== undefined && each.includes(found));
    assert.equal(found, undefined, `${where}: ${line?.slice(0, 2_000)}`);
  }
});
