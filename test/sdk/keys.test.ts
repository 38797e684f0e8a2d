import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { compactVerify, importJWK } from 'jose';
import { AgentError, type AgentKey, createAgent } from '../../src/sdk/index.ts';
import { keyFromEnvironment, keyFromFile } from '../../src/sdk/node.ts';
import {
  challenge,
  END,
  METADATA,
  RESOURCE,
  startHostileServer,
  TOKEN,
  tokenAnswer,
} from './hostile-server.ts';

const server = await startHostileServer();
const given = { actions: ['a:b:c'] };

function keyPair(kind: 'ec' | 'ed25519') {
  const pair =
    kind === 'ec' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  return {
    alg: kind === 'ec' ? ('ES256' as const) : ('EdDSA' as const),
    privateKey: pair.privateKey as KeyObject,
    jwk: { ...pair.privateKey.export({ format: 'jwk' }), kid: 'key-1' },
    publicJwk: pair.publicKey.export({ format: 'jwk' }),
    pem: String(pair.privateKey.export({ format: 'pem', type: 'pkcs8' })),
  };
}

type Pair = ReturnType<typeof keyPair>;

/** The assertion that a broker gets from an agent with this key, verified. */
async function assertionOf(key: AgentKey | Promise<AgentKey>, pair: Pair): Promise<Record<string, unknown>> {
  server.reset();
  const agent = createAgent({ issuer: server.url, clientId: 'a', key });
  await agent.token(given);
  const body = server.asked.find(({ line }) => line === TOKEN)?.body;
  const text = new URLSearchParams(body).get('client_assertion') ?? '';
  const { protectedHeader } = await compactVerify(text, await importJWK(pair.publicJwk, pair.alg));
  return protectedHeader;
}

const importPrivate = ({ jwk, alg }: Pair) =>
  crypto.subtle.importKey(
    'jwk',
    jwk,
    alg === 'ES256' ? { name: 'ECDSA', namedCurve: 'P-256' } : 'Ed25519',
    false,
    ['sign'],
  );

for (const kind of ['ec', 'ed25519'] as const) {
  describe(`The key of an agent (${kind})`, () => {
    const pair = keyPair(kind);
    const header = { alg: pair.alg, typ: 'client-authentication+jwt' };
    const kid = 'key-1';

    test('is a JWK, as an object or as text', async () => {
      assert.deepEqual(await assertionOf(pair.jwk, pair), { ...header, kid });
      assert.deepEqual(await assertionOf(JSON.stringify(pair.jwk), pair), { ...header, kid });
    });

    test('is a PKCS#8 PEM, with or without a name', async () => {
      assert.deepEqual(await assertionOf(pair.pem, pair), header);
      assert.deepEqual(await assertionOf({ pem: pair.pem, kid }, pair), { ...header, kid });
    });

    test('is a CryptoKey that cannot be exported', async () => {
      const privateKey = await importPrivate(pair);
      assert.deepEqual(await assertionOf(privateKey, pair), header);
      assert.deepEqual(await assertionOf({ privateKey, kid }, pair), { ...header, kid });
    });

    test('stays in a key service that signs', async () => {
      const { alg, privateKey } = pair;
      const digest = alg === 'ES256' ? 'sha256' : null;
      const encodings = alg === 'ES256' ? (['ieee-p1363', 'der'] as const) : (['ieee-p1363'] as const);
      for (const dsaEncoding of encodings) {
        // Often enough that r or s begins with a zero, which DER leaves out.
        for (let round = 0; round < 20; round += 1) {
          const service = async (bytes: Uint8Array) => sign(digest, bytes, { key: privateKey, dsaEncoding });
          assert.deepEqual(await assertionOf({ alg, kid, sign: service }, pair), { ...header, kid });
        }
      }
    });

    test('comes from a file or from the environment', async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'mayfly-key-'));
      t.after(() => {
        rmSync(folder, { recursive: true });
        delete process.env.TEST_AGENT_KEY;
        delete process.env.TEST_AGENT_KEY_FILE;
      });
      const path = join(folder, 'key');
      writeFileSync(path, pair.pem);
      assert.deepEqual(await assertionOf(keyFromFile(path), pair), header);
      process.env.TEST_AGENT_KEY_FILE = path;
      assert.deepEqual(await assertionOf(keyFromEnvironment('TEST_AGENT_KEY'), pair), header);
      process.env.TEST_AGENT_KEY = JSON.stringify(pair.jwk);
      assert.deepEqual(await assertionOf(keyFromEnvironment('TEST_AGENT_KEY'), pair), { ...header, kid });
    });
  });
}

test('What a key service gives that is no signature goes nowhere', async () => {
  for (const given of [new Uint8Array(63), new Uint8Array(), 'x'.repeat(64), undefined] as Uint8Array[]) {
    for (const alg of ['ES256', 'EdDSA'] as const) {
      const agent = createAgent({
        issuer: 'https://broker.example.com',
        clientId: 'a',
        key: { alg, sign: async () => given },
        fetch: async (url) => {
          const issuer = 'https://broker.example.com';
          if (!url.includes('well-known')) return assert.fail('an assertion went out');
          return Response.json({ issuer, token_endpoint: `${issuer}/oauth/token` });
        },
      });
      await assert.rejects(agent.token({ actions: ['a:b:c'] }), {
        code: 'misconfigured',
        message: `What signs gives no signature of ${alg}.`,
      });
    }
  }
});

test('No private key that it was given or made can be exported', async (t) => {
  const made: CryptoKey[] = [];
  const { importKey, generateKey } = crypto.subtle;
  t.mock.method(crypto.subtle, 'importKey', async (...given: Parameters<typeof importKey>) => {
    const key = await Reflect.apply(importKey, crypto.subtle, given);
    made.push(key);
    return key;
  });
  t.mock.method(crypto.subtle, 'generateKey', async (...given: Parameters<typeof generateKey>) => {
    const pair = (await Reflect.apply(generateKey, crypto.subtle, given)) as unknown as {
      privateKey: CryptoKey;
    };
    made.push(pair.privateKey);
    return pair;
  });
  for (const kind of ['ec', 'ed25519'] as const) {
    const pair = keyPair(kind);
    await assertionOf(pair.jwk, pair);
    await assertionOf(pair.pem, pair);
  }
  const privateKeys = made.filter(({ type }) => type === 'private');
  assert.equal(privateKeys.length, 8, 'one of the agent and one of the session, each time');
  assert.ok(privateKeys.every(({ extractable }) => !extractable));
});

const CANARY = 'CaNaRy-0123456789abcdefghijklmnopqrstuvwxyz';

test('What is no such key is refused without a word of it', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 }).privateKey;
  const { publicKey } = generateKeyPairSync('ed25519');
  const pem = keyPair('ec').pem;
  const wrong: unknown[] = [
    CANARY,
    `{"d": "${CANARY}"`,
    JSON.stringify({ kty: 'EC', crv: 'P-256', x: CANARY, y: CANARY, d: CANARY }),
    { kty: 'oct', k: CANARY, d: CANARY },
    rsa.export({ format: 'jwk' }),
    String(rsa.export({ format: 'pem', type: 'pkcs8' })),
    publicKey.export({ format: 'jwk' }),
    pem.replace('MIGH', 'AAAA'),
    pem.replaceAll('PRIVATE', 'PUBLIC'),
    { alg: 'HS256', sign: async () => new Uint8Array() },
    { pem: undefined },
    {},
    null,
    7,
  ];
  for (const key of wrong) {
    const agent = createAgent({ issuer: server.url, clientId: 'a', key: key as AgentKey });
    const error = await agent.token(given).catch((reason: unknown) => reason);
    assert.ok(error instanceof AgentError && error.code === 'misconfigured', String(error));
    assert.doesNotMatch(inspect(error, { showHidden: true }), /CaNaRy|MIGH|AAAA/);
  }
  await assert.rejects(keyFromFile('/nowhere/at/all'), { code: 'misconfigured' });
  await assert.rejects(keyFromEnvironment('TEST_NO_SUCH_KEY'), { code: 'misconfigured' });
});

/** Everything that a logger, a debugger or a serialiser could make of a value. */
function everythingOf(value: unknown): string {
  const seen = new Set<unknown>();
  const texts: string[] = [];
  function walk(one: unknown): void {
    if (seen.has(one)) return;
    seen.add(one);
    texts.push(inspect(one, { showHidden: true, depth: 20, maxStringLength: null }), String(one));
    try {
      texts.push(JSON.stringify(one) ?? '');
    } catch {}
    if ((typeof one !== 'object' && typeof one !== 'function') || one === null) return;
    if (one instanceof Error) texts.push(one.stack ?? '', one.message);
    for (const name of Reflect.ownKeys(one)) {
      const { value: member } = Object.getOwnPropertyDescriptor(one, name) ?? {};
      walk(member);
    }
  }
  walk(value);
  return texts.join('\n');
}

test('Nothing that is handed out, and no error, holds a secret, whatever the other side repeats', async () => {
  const pair = keyPair('ec');
  server.reset();
  server.answers(TOKEN, { status: 200, body: tokenAnswer({ access_token: CANARY }) });
  const agent = createAgent({ issuer: server.url, clientId: 'a', key: pair.jwk });
  const session = await agent.session(given);
  const token = await agent.token(given);
  assert.equal(token.accessToken, CANARY);
  const printed = everythingOf([agent, session, token, { ...token }, agent.fetch, agent.call]);
  assert.ok(!printed.includes(CANARY) && !printed.includes(String(pair.jwk.d)));

  const errors: unknown[] = [];
  const failing = async (work: Promise<unknown>) => errors.push(await work.catch((error: unknown) => error));
  /** What it was sent, in each place where an answer has words. */
  const echo = ({ body, headers }: { body: string; headers: object }) => {
    const text = `${body} ${decodeURIComponent(body)} ${JSON.stringify(headers)}`;
    const words = {
      error: text,
      error_description: text,
      hint: text,
      title: text,
      request_id: text,
      code: text,
    };
    return { status: 400, headers: { 'Request-Id': 'x' }, body: { ...words, approval_id: text } };
  };
  for (const line of [TOKEN, METADATA]) {
    server.reset();
    server.answers(line, echo);
    await failing(createAgent({ issuer: server.url, clientId: 'a', key: pair.jwk }).token(given));
  }
  server.reset();
  server.answers(TOKEN, { status: 200, body: tokenAnswer({ access_token: CANARY }) });
  const careless = createAgent({
    issuer: server.url,
    clientId: 'a',
    key: pair.jwk,
    async fetch(url, init) {
      if (url.endsWith('/thing'))
        throw Object.assign(new Error(`no: ${JSON.stringify([...new Headers(init.headers)])}`), { init });
      return fetch(url, init);
    },
  });
  await failing(careless.fetch(`${server.url}/thing`, given));
  await failing(careless.call({ action: 'a:b:c', url: `${server.url}/thing` }));
  server.answers(RESOURCE, ({ headers }) => ({
    status: 302,
    headers: { Location: `https://evil/${headers.authorization}`, ...challenge('x') },
  }));
  await failing(agent.fetch(`${server.url}/thing`, given));
  const service = async () => {
    throw Object.assign(new Error(CANARY), { code: CANARY.slice(0, 5), config: CANARY });
  };
  const remote = createAgent({ issuer: server.url, clientId: 'a', key: { alg: 'ES256', sign: service } });
  await failing(remote.token(given));
  server.answers(END, echo);
  await agent.close();
  await failing(agent.token(given));

  const told = everythingOf(errors);
  assert.equal(errors.length, 7);
  assert.ok(errors.every((error) => error instanceof Error));
  assert.ok(!told.includes(CANARY) && !told.includes(String(pair.jwk.d)));
  const sent = server.asked.flatMap(({ body, headers }) => [
    new URLSearchParams(body).get('client_assertion'),
    headers.dpop,
  ]);
  for (const secret of sent) if (typeof secret === 'string') assert.ok(!told.includes(secret.slice(0, 40)));
  assert.doesNotMatch(told, /eyJ[\w-]{9}/, 'no part of a JWT');
});
