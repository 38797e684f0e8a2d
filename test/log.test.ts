import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../src/log.ts';
import { newSessionKey } from './test-agent.ts';
import { createTestWorld } from './test-broker.ts';

function capture() {
  const lines: string[] = [];
  return { lines, log: createLog('debug', { write: (line: string) => void lines.push(line) }) };
}

const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.Y2FuYXJ5LXNpZ25hdHVyZQ';
const CANARIES = ['eyJhbGciOiJFUzI1NiJ9', 'canary-private-part-of-a-key', 'canary-password', 'MIGHAgEAMBMG'];

test('what looks like a token, a private key or a password never stands in the log', () => {
  const { lines, log } = capture();
  const secretive = Object.assign(new Error(`refused ${JWT}`), {
    detail: 'canary-private-part-of-a-key',
    query: { values: [JWT] },
  });
  log.info({ token: JWT }, `a token ${JWT}`);
  log.info({ jwk: { kty: 'EC', d: 'canary-private-part-of-a-key' } }, 'a key');
  log.info({ text: '{"kty":"EC","d":"canary-private-part-of-a-key"}' }, 'a key as text');
  log.error({ err: secretive }, 'an error with things attached');
  log.error({ err: new Error('x', { cause: secretive }) }, 'and as a cause');
  log.info({ url: 'postgres://mayfly_app:canary-password@db.example.com/mayfly' }, 'a url');
  log.info({ pem: '-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----' }, 'a pem');
  const text = lines.join('');
  for (const canary of CANARIES) assert.ok(!text.includes(canary), canary);
  assert.equal(lines.length, 7);
});

test('one event is one line, whatever is in it', () => {
  const { lines, log } = capture();
  log.info({ name: 'a\nb\r\u2028\u001b[31m\u0000' }, 'line\nbreak');
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.trimEnd().split('\n').length, 1);
  const controls = [...(lines[0]?.trimEnd() ?? '')].filter((character) => character < ' ');
  assert.deepEqual(controls, []);
});

test('a broker at work logs no token, proof, assertion or key, and none of them is in the record', async () => {
  const { lines, log } = capture();
  const world = await createTestWorld();
  const broker = await world.startBroker({ log });
  const agent = world.agent(broker, 'report-writer');
  const session = newSessionKey();
  const assertion = agent.assertion();
  const proof = agent.proof(session);
  const { body } = await agent.request(session, { client_assertion: assertion }, proof);
  await agent.request(session, { client_assertion: assertion }, proof);
  await agent.post('/oauth/introspect', agent.authenticated({ token: body.access_token }));
  await agent.post('/oauth/revoke', agent.authenticated({ token: body.access_token }));
  const record = JSON.stringify(await world.query('select * from audit_entries'));
  const tables = JSON.stringify([
    await world.query('select * from tokens'),
    await world.query('select * from sessions'),
  ]);
  for (const secret of [body.access_token, assertion, proof]) {
    const [, payload, signature] = secret.split('.');
    for (const part of [payload, signature]) {
      assert.ok(!lines.join('').includes(part), 'in the log');
      assert.ok(!record.includes(part), 'in the record');
      assert.ok(!tables.includes(part), 'in the tables');
    }
  }
});
