/** Every answer about AWS credentials, held against what the document says of it. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CompiledQuery } from 'kysely';
import { READ_REPORT } from '../catalogue/aws-fixture.ts';
import { operations } from '../openapi/contract.ts';
import { exchange, FORM, postJson } from '../openapi/exchange.ts';
import { createWitness } from '../openapi/witness.ts';
import { ARGUMENTS, ASSUME_REPORT, type AwsStage, createAwsStage } from './aws-stage.ts';

const CREDENTIALS = 'POST /v1/aws/credentials';
const READS = [
  'GET /.well-known/openid-configuration',
  'GET /.well-known/mayfly-aws-jwks.json',
  'GET /.well-known/oauth-protected-resource/v1/aws',
] as const;
const BODY = { action: READ_REPORT, arguments: ARGUMENTS };

const { hold, seen } = createWitness();
let stage: AwsStage;
before(async () => {
  stage = await createAwsStage();
});
after(() => stage.sts.close());

async function signed(action = READ_REPORT): Promise<Record<string, string>> {
  const { session, token } = await stage.tokenFor(action);
  return { Authorization: `DPoP ${token}`, DPoP: stage.proofFor(session, token) };
}

const ask = async (body: unknown = BODY, headers?: Record<string, string>, { url } = stage.broker) =>
  postJson(`${url}/v1/aws/credentials`, body, headers ?? (await signed()));

test('credentials are given as described, in each shape', async () => {
  for (const format of ['plain', 'credential_process', 'container']) {
    hold(CREDENTIALS, '200', await ask({ ...BODY, format }));
  }
});

test('what is wrong with a request is told as described', async () => {
  hold(CREDENTIALS, '400 invalid_request', await ask({ ...BODY, role: 'other' }));
  hold(CREDENTIALS, '400 invalid_request', await ask({ action: READ_REPORT }));
  hold(CREDENTIALS, '401 credentials_missing', await ask(BODY, {}));
  hold(CREDENTIALS, '401 invalid_token', await ask(BODY, await signed('db:read:customers')));
  const { Authorization } = await signed();
  hold(CREDENTIALS, '401 invalid_dpop_proof', await ask(BODY, { Authorization: String(Authorization) }));
  hold(CREDENTIALS, '403 insufficient_scope', await ask({ ...BODY, action: ASSUME_REPORT }));
  hold(CREDENTIALS, '413 content_too_large', await ask({ ...BODY, arguments: { a: 'x'.repeat(70_000) } }));
  const form = { method: 'POST', headers: { 'Content-Type': FORM }, body: 'a=b' };
  hold(
    CREDENTIALS,
    '415 unsupported_media_type',
    await exchange(`${stage.broker.url}/v1/aws/credentials`, form),
  );
});

test('a broker that wants nonces asks for one as described', async () => {
  const strict = await stage.startBroker({ settings: { MAYFLY_DPOP_NONCE: 'required' } });
  const { session, token } = await stage.tokenFor();
  const DPoP = stage.proofFor(session, token, { nonce: undefined });
  hold(CREDENTIALS, '401 use_dpop_nonce', await ask(BODY, { Authorization: `DPoP ${token}`, DPoP }, strict));
});

test('an AWS that gives nothing is told as described', async () => {
  stage.sts.faults.push('denied');
  hold(CREDENTIALS, '409 aws_refused', await ask());
  stage.sts.faults.push('throttled', 'throttled', 'throttled');
  hold(CREDENTIALS, '503 temporarily_unavailable', await ask());
});

test('what AWS reads of mayfly is as described, and not there where no action needs it', async () => {
  const without = await stage.world.startBroker();
  for (const operation of READS) {
    const path = operation.slice('GET '.length);
    hold(operation, '200', await exchange(`${stage.broker.url}${path}`));
    hold(operation, '404 not_found', await exchange(`${without.url}${path}`));
    const withBody = { headers: { 'Content-Type': FORM }, body: 'a=b' };
    hold(operation, '400 invalid_request', await exchange(`${stage.broker.url}${path}`, withBody));
  }
  hold(CREDENTIALS, '404 not_found', await ask(BODY, {}, without));
});

test('a broker whose files are not the applied ones gives no credentials', async () => {
  const catalogue = { ...stage.catalogue, digest: 'another' };
  const behind = await stage.startBroker({ catalogue });
  hold(CREDENTIALS, '503 catalogue_differs', await ask(BODY, await signed(), behind));
});

test('who asks too often is told so as described', async () => {
  const slow = await stage.startBroker({ settings: { MAYFLY_RATE_PER_SOURCE: '1' } });
  for (const operation of [CREDENTIALS, ...READS]) {
    const [method = '', path] = operation.split(' ');
    const once = () => (method === 'GET' ? exchange(`${slow.url}${path}`) : ask(BODY, {}, slow));
    let answer = await once();
    for (let more = 0; answer.status !== 429 && more < 100; more += 1) answer = await once();
    hold(operation, '429 rate_limited', answer);
  }
});

test('a defect, and a database that was replaced, are answered as described', async () => {
  const run = (text: string) => stage.world.owner.executeQuery(CompiledQuery.raw(text));
  const headers = await signed();
  await run('alter table audit_entries rename to lost');
  try {
    hold(CREDENTIALS, '500 internal_error', await ask(BODY, headers));
  } finally {
    await run('alter table lost rename to audit_entries');
  }
});

after(() => {
  const described = operations().flatMap(({ method, path, operation }) =>
    operation.tags.includes('aws')
      ? Object.keys(operation.responses).map((status) => `${method} ${path} ${status}`)
      : [],
  );
  // Behind the reads nothing can go wrong but a defect; a replaced database stops them as it stops all others.
  const untried = READS.flatMap((operation) => [`${operation} 500`, `${operation} 503`]);
  assert.deepEqual(described.filter((answer) => !seen.has(answer)).sort(), untried.sort());
});
