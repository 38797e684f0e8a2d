/** The examples of the document are one story with real keys: every signature, digest and thumbprint in it fits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '../../src/agents/client.ts';
import { checkAssertion, readAssertion } from '../../src/agents/client-assertion.ts';
import { checkProof } from '../../src/dpop/proof.ts';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import { canonicalDigest } from '../../src/json/canonical-digest.ts';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import { readOwnToken } from '../../src/tokens/access-token.ts';
import { managementMetadata, serverMetadata } from '../../src/tokens/server-metadata.ts';
import { newSessionKey } from '../test-agent.ts';
import {
  contract,
  decoded,
  type Operation,
  operations,
  type ResponseObject,
  resolve,
  type Schema,
  schema,
  violations,
} from './contract.ts';

const ISSUER = 'https://broker.example.com';
const NOW = 1_767_225_600;

type Example = { name: string; schema: Schema; value: Record<string, unknown> };

const examples: Example[] = operations().flatMap(({ path, operation }) => [
  ...examplesOf(operation.requestBody?.content ?? {}, `${path} request`),
  ...Object.entries(operation.responses).flatMap(([status, response]) =>
    examplesOf(resolve<ResponseObject>(response).content ?? {}, `${path} ${status}`),
  ),
]);

test('every example obeys its schema', () => {
  assert.ok(examples.length > 15);
  for (const { name, schema: own, value } of examples) assert.deepEqual(violations(own, value, name), []);
});

test('the examples of refusals say what the code says', () => {
  const refusals = examples.filter(({ value }) => value.code !== undefined);
  assert.ok(refusals.length > 4);
  for (const { name, value } of refusals) {
    const { title, error } = REFUSAL_CODES[value.code as keyof typeof REFUSAL_CODES];
    if (value.error === undefined) {
      assert.equal(value.title, title, name);
    } else {
      assert.equal(value.error, error, name);
      const description = value.hint === undefined ? title : `${title}. ${value.hint}`;
      assert.equal(value.error_description, description, name);
    }
  }
});

test('the assertions are signed by the example keys, for this issuer', () => {
  const assertions = examples.flatMap(({ value }) => value.client_assertion ?? []).map(String);
  assert.equal(new Set(assertions).size, 5);
  for (const assertion of assertions) {
    const { header, claims } = decoded(assertion);
    assert.deepEqual(violations(schema('ClientAssertionHeader'), header, 'header'), []);
    assert.deepEqual(violations(schema('ClientAssertionClaims'), claims, 'claims'), []);
    const clients = new Map([[String(claims.sub), clientOf(String(claims.sub), String(header.kid))]]);
    checkAssertion(readAssertion(assertion), { clients, issuer: ISSUER, now: NOW });
  }
});

test('the proof is for the token endpoint, and the tokens are bound to its key', () => {
  const text = exampleOfProof();
  const { header, claims } = decoded(text);
  assert.deepEqual(violations(schema('ProofHeader'), header, 'header'), []);
  assert.deepEqual(violations(schema('ProofClaims'), claims, 'claims'), []);
  const { jkt, nonce } = checkProof(text, { method: 'POST', target: `${ISSUER}/oauth/token` }, NOW);
  const { example } = contract.components.headers['DPoP-Nonce'] as { example?: string };
  assert.equal(nonce, example);
  for (const each of tokens()) assert.equal(each.claims.cnf.jkt, jkt);
});

test('the tokens verify with the example key set and say what their answers say', () => {
  for (const { claims, answer } of tokens()) {
    assert.equal(claims.scope, answer.scope);
    assert.equal(claims.sid, answer.session_id);
    assert.equal(claims.exp - claims.iat, answer.expires_in);
    assert.deepEqual(claims.authorization_details, answer.authorization_details);
    assert.deepEqual(violations(schema('AccessTokenClaims'), claims, 'claims'), []);
  }
});

test('introspection repeats the token, and the digest is that of the arguments next to it', () => {
  const [first, second] = tokens();
  const { active, token_type, ...claims } = exampleOf('/oauth/introspect 200 active');
  assert.deepEqual({ active, token_type }, { active: true, token_type: 'DPoP' });
  assert.deepEqual(claims, first?.claims);
  const { properties } = contract.components.schemas.MayflyCall as { properties: Record<string, Schema> };
  const [, json = ''] = /`(\{.*\})`/.exec(String(properties.arguments_digest?.description)) ?? [];
  const [call] = second?.claims.authorization_details ?? [];
  assert.equal(call?.arguments_digest, canonicalDigest(JSON.parse(json)));
});

test('the metadata is that of the code', () => {
  const value = exampleOf('/.well-known/oauth-authorization-server 200 metadata');
  assert.deepEqual(value, structuredClone(serverMetadata(ISSUER)));
  const management = exampleOf('/.well-known/oauth-protected-resource 200 metadata');
  assert.deepEqual(management, structuredClone(managementMetadata(ISSUER)));
});

test('what real clients of the tests send obeys the document', async () => {
  const { createTestAgent } = await import('../test-agent.ts');
  const key = { ...newSessionKey().privateKey.export({ format: 'jwk' }), kid: 'one' };
  const agent = createTestAgent({ url: ISSUER, issuer: ISSUER, clientId: 'report-writer', key });
  for (const kind of ['ec', 'ed25519'] as const) {
    const proof = decoded(agent.proof(newSessionKey(kind)));
    assert.deepEqual(violations(schema('ProofHeader'), proof.header, 'header'), []);
    assert.deepEqual(violations(schema('ProofClaims'), proof.claims, 'claims'), []);
  }
  const form = JSON.parse(JSON.stringify(agent.tokenFields()));
  assert.deepEqual(violations(schema('TokenRequest'), form, 'form'), []);
});

function examplesOf(
  content: NonNullable<Operation['operation']['requestBody']>['content'],
  where: string,
): Example[] {
  return Object.values(content).flatMap(({ schema: own, examples: named }) =>
    Object.entries(named ?? {}).map(([name, { value }]) => ({
      name: `${where} ${name}`,
      schema: own,
      value: value as Record<string, unknown>,
    })),
  );
}

function exampleOf(name: string): Record<string, unknown> {
  const example = examples.find((each) => each.name === name);
  assert.ok(example, name);
  return example.value;
}

function exampleOfProof(): string {
  const { DPoP } = (contract.components as unknown as { parameters: Record<string, { example: string }> })
    .parameters;
  return DPoP?.example ?? '';
}

function tokens() {
  const { keys } = exampleOf('/.well-known/jwks.json 200 keys') as { keys: { kid: string }[] };
  const keyOf = (kid: string) => {
    const jwk = keys.find((each) => each.kid === kid);
    return jwk === undefined ? null : parseVerificationKey(jwk);
  };
  return ['session', 'call'].map((name) => {
    const answer = exampleOf(`/oauth/token 200 ${name}`);
    const claims = readOwnToken(String(answer.access_token), { issuer: ISSUER, keyOf });
    assert.ok(claims, 'the token does not verify');
    const { kid: _kid, ...own } = claims;
    return { answer, claims: own };
  });
}

/** Declared with the example key of this name. */
function clientOf(id: string, kid: string): Client {
  const { examples: keys } = contract.components.schemas.PublicJwk as { examples: { kid: string }[] };
  const jwk = keys.find((each) => each.kid === kid);
  assert.ok(jwk, `no example key ${kid}`);
  const key = parseVerificationKey(jwk);
  return { kind: 'agent', id, agent: {} as never, keys: [{ kid, key }] };
}
