/** DPP: DPoP proofs at the token endpoint. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { newSessionKey, nowSeconds } from '../test-agent.ts';
import { TEST_ISSUER } from '../test-broker.ts';
import { CANARY } from './after-checks.ts';
import { jwsCases } from './jws-cases.ts';
import { type Case, createStage } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import { proofKeyCases } from './proof-key-cases.ts';
import { signRawJws, twinOf } from './raw-jws.ts';

const stage = await createStage();
const { agent, session } = stage;
const TARGET = `${TEST_ISSUER}/oauth/token`;

const header = () => ({ typ: 'dpop+jwt', alg: 'ES256', jwk: session.publicJwk });
const claims = () => ({ htm: 'POST', htu: TARGET, iat: nowSeconds(), jti: randomUUID() });
const withProof = (dpop: string) => stage.tokenRequest({ dpop });
/** A good request in which these claims of the proof are others; undefined ones are missing. */
const withClaims = (members: object) => () => withProof(agent.proof(session, { claims: members }));
const withHeader = (members: object) => () => withProof(agent.proof(session, { header: members }));

stage.run('DPP: the proof as a JWT', [
  ...jwsCases({
    ids: {
      algorithm: 'DPP-08',
      critical: 'DPP-20',
      header: 'DPP-22',
      duplicate: 'DPP-24',
      encoding: 'DPP-26',
      payload: 'DPP-28',
      serialisation: 'DPP-30',
      parts: 'DPP-32',
      length: 'DPP-34',
      signature: 'DPP-18',
      extra: 'DPP-36',
    },
    refused: 'DP',
    ignoresKid: true,
    privateKey: session.privateKey,
    publicJwk: session.publicJwk,
    header,
    claims,
    request: withProof,
  }),
]);

stage.run('DPP: the key in the proof', proofKeyCases(stage));

const types: [unknown, Outcome][] = [
  ['dpop+jwt', 'OK'],
  ['DPOP+JWT', 'DP'],
  ['application/dpop+jwt', 'DP'],
  ['dpop+jwt ', 'DP'],
  ['dpop+jwt; x=1', 'DP'],
  ['JWT', 'DP'],
  ['at+jwt', 'DP'],
  ['client-authentication+jwt', 'DP'],
  ['', 'DP'],
  [null, 'DP'],
  [['dpop+jwt'], 'DP'],
  [undefined, 'DP'],
];
stage.run('DPP: typ, and how many proofs', [
  ...types.map(
    ([typ, expected]): Case => ({
      id: 'DPP-06',
      name: `typ ${JSON.stringify(typ)}`,
      ask: withHeader({ typ }),
      expected,
    }),
  ),
  ...(
    [
      ['two identical headers', (one: string) => [one, one]],
      ['two different headers', (one: string) => [one, agent.proof(session)]],
      ['a good one and an empty one', (one: string) => [one, '']],
      ['an empty one and a good one', (one: string) => ['', one]],
      ['three headers', (one: string) => [one, one, one]],
    ] as [string, (one: string) => string[]][]
  ).map(([name, list]): Case => {
    return {
      id: 'DPP-02',
      name,
      ask: () => ({
        ...stage.tokenRequest({ dpop: null }),
        headers: list(agent.proof(session)).map((proof, index) => [index === 1 ? 'dpop' : 'DPoP', proof]),
      }),
      expected: 'DP',
      reason: 'proof_repeated',
    };
  }),
  ...[', ', ' ', ',', ';', '\t'].map(
    (separator): Case => ({
      id: 'DPP-04',
      name: `two proofs in one header, separated by ${JSON.stringify(separator)}`,
      ask: () => withProof(`${agent.proof(session)}${separator}${agent.proof(session)}`),
      expected: 'DP',
    }),
  ),
  {
    id: 'DPP-04',
    name: 'a scheme before the proof',
    ask: () => withProof(`DPoP ${agent.proof(session)}`),
    expected: 'DP',
  },
  {
    id: 'DPP-04',
    name: 'quotes around the proof',
    ask: () => withProof(`"${agent.proof(session)}"`),
    expected: 'DP',
  },
  {
    id: 'DPP-04',
    name: 'the proof as a parameter of the form',
    ask: () => stage.tokenRequest({ dpop: null, fields: { DPoP: agent.proof(session), dpop: 'x' } }),
    expected: 'DP',
  },
  {
    id: 'DPP-04',
    name: 'the header in another case',
    ask: () => ({ ...stage.tokenRequest({ dpop: null }), headers: [['dPoP', agent.proof(session)]] }),
    expected: 'OK',
  },
]);

const identifiers: [string, unknown, Outcome][] = [
  ['missing', undefined, 'DP'],
  ['empty', '', 'DP'],
  ['a number', 7, 'DP'],
  ['an array', ['a'], 'DP'],
  ['null', null, 'DP'],
  ['an object', { a: 1 }, 'DP'],
  ['true', true, 'DP'],
  ['of 256 characters', `${randomUUID()}${'j'.repeat(220)}`, 'OK'],
  ['of 257 characters', 'j'.repeat(257), 'DP'],
  ['of 4,000 characters', 'j'.repeat(4_000), 'DP'],
  ['of one character', randomUUID().slice(0, 1), 'OK'],
  ['with quotes and a backslash', `"\\'${randomUUID()}`, 'OK'],
  ['like SQL', `'; drop table tokens;--${randomUUID()}`, 'OK'],
  ['like a template', `\${jndi:x}%s%n{{7*7}}${randomUUID()}`, 'OK'],
  ['with a NUL', 'a\u0000b', 'DP'],
  ['with a line feed', 'a\nb', 'DP'],
  ['with a line feed at the end', 'ab\n', 'DP'],
  ['with a tab', 'a\tb', 'DP'],
  ['with DEL', 'a\u007f', 'DP'],
  ['with an umlaut', 'ä', 'DP'],
  ['with a combining letter', 'a\u0308', 'DP'],
  ['with an emoji', '🦋', 'DP'],
  ['with U+2028', 'a\u2028b', 'DP'],
  ['with an escape of terminals', '\u001b[31m', 'DP'],
  ['with a right-to-left override', '\u202ea', 'DP'],
  ['with a byte order mark', '\ufeffa', 'DP'],
];
stage.run('DPP: jti', [
  ...identifiers.map(
    ([name, jti, expected]): Case => ({
      id: 'DPP-42',
      name: `jti ${name}`,
      ask: withClaims({ jti }),
      expected,
    }),
  ),
  {
    id: 'DPP-42',
    name: 'a jti with a lone surrogate',
    ask: () =>
      withProof(
        signRawJws(
          JSON.stringify(header()),
          JSON.stringify(claims()).replace(/"jti":"/, '"jti":"\\ud83e'),
          session.privateKey,
        ),
      ),
    expected: 'DP',
  },
]);

const methods: [unknown, Outcome][] = [
  ['POST', 'OK'],
  [undefined, 'DP'],
  ['post', 'DP'],
  ['Post', 'DP'],
  ['POST ', 'DP'],
  ['POST\n', 'DP'],
  ['GET', 'DP'],
  ['HEAD', 'DP'],
  ['OPTIONS', 'DP'],
  ['PUT', 'DP'],
  ['*', 'DP'],
  ['', 'DP'],
  [['POST'], 'DP'],
  [null, 'DP'],
  [{ toString: 'POST' }, 'DP'],
  ['POST,GET', 'DP'],
  ['\uff30OST', 'DP'],
];
stage.run('DPP: htm', [
  ...methods.map(
    ([htm, expected]): Case => ({
      id: htm === 'GET' || htm === 'HEAD' || htm === 'OPTIONS' ? 'DPP-96' : 'DPP-50',
      name: `htm ${JSON.stringify(htm)}`,
      ask: withClaims({ htm }),
      expected,
    }),
  ),
]);

const HOST = 'broker.example.com';
const targets: [unknown, Outcome][] = [
  // the same target in another spelling
  [TARGET, 'OK'],
  [`${TARGET}?a=b`, 'OK'],
  [`${TARGET}#x`, 'OK'],
  [`${TARGET}?a=b#x`, 'OK'],
  [`${TARGET}?`, 'OK'],
  [`HTTPS://BROKER.example.COM/oauth/token`, 'OK'],
  [`https://${HOST}:443/oauth/token`, 'OK'],
  [`https://${HOST}/oauth/%74oken`, 'OK'],
  [`https://${HOST}/%6f%61uth/token`, 'OK'],
  [`https://${HOST}/%6F%61uth/token`, 'OK'],
  // another target
  [undefined, 'DP'],
  ['', 'DP'],
  [null, 'DP'],
  [7, 'DP'],
  [[TARGET], 'DP'],
  [{ toString: TARGET }, 'DP'],
  [{ href: TARGET }, 'DP'],
  [`https://${HOST}:0443/oauth/token`, 'DP'],
  [`https://${HOST}:8443/oauth/token`, 'DP'],
  [`https://${HOST}:/oauth/token`, 'DP'],
  [`https://${HOST}:443x/oauth/token`, 'DP'],
  [`https://${HOST}:65979/oauth/token`, 'DP'],
  [`http://${HOST}/oauth/token`, 'DP'],
  [`http://${HOST}:443/oauth/token`, 'DP'],
  [`https://${HOST}./oauth/token`, 'DP'],
  [`https://${HOST}/oauth/token/`, 'DP'],
  [`https://${HOST}/oauth//token`, 'DP'],
  [`https://${HOST}//oauth/token`, 'DP'],
  [`https://${HOST}/oauth/TOKEN`, 'DP'],
  [`https://${HOST}/oauth/%54oken`, 'DP'],
  [`https://${HOST}/oauth/token;v=1`, 'DP'],
  [`https://${HOST}/oauth%2Ftoken`, 'DP'],
  [`https://${HOST}/x/../oauth/token`, 'DP'],
  [`https://${HOST}/x/%2e%2e/oauth/token`, 'DP'],
  [`https://${HOST}/./oauth/token`, 'DP'],
  [`https://${HOST}/oauth/./token`, 'DP'],
  [`https://${HOST}/oauth/token/.`, 'DP'],
  [`https://${HOST}/oauth/token%20`, 'DP'],
  [`https://${HOST}/oauth/token%00`, 'DP'],
  [`https://${HOST}/oauth/token%`, 'DP'],
  [`https://${HOST}/oauth/%2574oken`, 'DP'],
  [`https://${HOST}/oauth/introspect`, 'DP'],
  [`https://${HOST}/oauth/revoke`, 'DP'],
  [`https://${HOST}/oauth`, 'DP'],
  [`https://${HOST}`, 'DP'],
  [`https://${HOST}/`, 'DP'],
  [`https://as@${HOST}/oauth/token`, 'DP'],
  [`https://as:pw@${HOST}/oauth/token`, 'DP'],
  [`https://${HOST}@evil.test/oauth/token`, 'DP'],
  [`https://evil.test\\@${HOST}/oauth/token`, 'DP'],
  [`https://${HOST}%2f.evil.test/oauth/token`, 'DP'],
  [`https://${HOST}.evil.test/oauth/token`, 'DP'],
  [`https://evil.test/oauth/token?https://${HOST}/oauth/token`, 'DP'],
  [`https://evil.test/#@${HOST}/oauth/token`, 'DP'],
  [`https:\\\\${HOST}\\oauth\\token`, 'DP'],
  [`https://${HOST}\\oauth\\token`, 'DP'],
  [`https:/${HOST}/oauth/token`, 'DP'],
  [`https:${HOST}/oauth/token`, 'DP'],
  [`//${HOST}/oauth/token`, 'DP'],
  ['/oauth/token', 'DP'],
  [` ${TARGET}`, 'DP'],
  [`${TARGET} `, 'DP'],
  [`${TARGET}\n`, 'DP'],
  [`https://broker.exa\tmple.com/oauth/token`, 'DP'],
  [`https://broker.exa\nmple.com/oauth/token`, 'DP'],
  ['https://ｂroker.example.com/oauth/token', 'DP'],
  ['https://broker。example。com/oauth/token', 'DP'],
  [`https://${HOST}/oauth/t\u00f6ken`, 'DP'],
  [`https://xn--${HOST}/oauth/token`, 'DP'],
  ['https://127.0.0.1/oauth/token', 'DP'],
  ['https://[::1]/oauth/token', 'DP'],
  ['javascript:alert(1)', 'DP'],
  [`https://${HOST}/oauth/token${'?'.repeat(3_000)}`, 'DP'],
  [`https://${'a'.repeat(3_000)}/oauth/token`, 'DP'],
  [`https://${CANARY}/`, 'DP'],
];
stage.run('DPP: htu', [
  ...targets.map(
    ([htu, expected]): Case => ({
      id: typeof htu === 'object' ? 'DPP-52' : 'DPP-54',
      name: `htu ${JSON.stringify(htu)?.slice(0, 90)}`,
      ask: withClaims({ htu }),
      expected,
    }),
  ),
  {
    id: 'DPP-54',
    name: 'where the broker listens, which is not what it is called',
    ask: () => withClaims({ htu: `${stage.broker.url}/oauth/token` })(),
    expected: 'DP',
  },
]);

const times: [string, () => object, Outcome][] = [
  ['iat missing', () => ({ iat: undefined }), 'DP'],
  ['iat a string', () => ({ iat: String(nowSeconds()) }), 'DP'],
  ['iat a fraction', () => ({ iat: nowSeconds() + 0.5 }), 'DP'],
  ['iat negative', () => ({ iat: -nowSeconds() }), 'DP'],
  ['iat 0', () => ({ iat: 0 }), 'DP'],
  ['iat null', () => ({ iat: null }), 'DP'],
  ['iat an array', () => ({ iat: [nowSeconds()] }), 'DP'],
  ['iat true', () => ({ iat: true }), 'DP'],
  ['iat in milliseconds', () => ({ iat: Date.now() }), 'DP'],
  ['iat 2^53', () => ({ iat: 2 ** 53 }), 'DP'],
  ['iat an hour ago', () => ({ iat: nowSeconds() - 3_600 }), 'DP'],
  ['iat 62 seconds ago', () => ({ iat: nowSeconds() - 62 }), 'DP'],
  ['iat 55 seconds ago', () => ({ iat: nowSeconds() - 55 }), 'OK'],
  ['iat 13 seconds ahead', () => ({ iat: nowSeconds() + 13 }), 'OK'],
  ['iat 18 seconds ahead', () => ({ iat: nowSeconds() + 18 }), 'DP'],
  ['iat an hour ahead', () => ({ iat: nowSeconds() + 3_600 }), 'DP'],
  ['exp ahead', () => ({ exp: nowSeconds() + 60 }), 'OK'],
  ['exp past', () => ({ exp: nowSeconds() - 1 }), 'DP'],
  ['exp now', () => ({ exp: nowSeconds() }), 'DP'],
  ['exp a string', () => ({ exp: 'never' }), 'DP'],
  ['exp null', () => ({ exp: null }), 'DP'],
  ['exp a fraction', () => ({ exp: nowSeconds() + 60.5 }), 'DP'],
  ['nbf past', () => ({ nbf: nowSeconds() - 60 }), 'OK'],
  ['nbf ahead', () => ({ nbf: nowSeconds() + 60 }), 'DP'],
  ['nbf a string', () => ({ nbf: '0' }), 'DP'],
  ['ath of nothing', () => ({ ath: 'AAAA' }), 'OK'],
];
const rawTimes = ['1e308', '1e400', 'NaN', '-0', '1.7976931348623157e309', '9007199254740993'];
stage.run('DPP: iat, exp, nbf', [
  ...times.map(
    ([name, members, expected]): Case => ({
      id: name.startsWith('iat') ? 'DPP-80' : 'DPP-82',
      name,
      ask: () => withClaims(members())(),
      expected,
    }),
  ),
  ...rawTimes.map(
    (number): Case => ({
      id: 'DPP-80',
      name: `iat ${number}`,
      ask: () =>
        withProof(
          signRawJws(
            JSON.stringify(header()),
            JSON.stringify(claims()).replace(/"iat":\d+/, `"iat":${number}`),
            session.privateKey,
          ),
        ),
      expected: 'DP',
    }),
  ),
]);

/** A proof that has been used, and what it was. */
async function spentProof(members: object = {}) {
  const used = { ...claims(), ...members };
  const proof = agent.proof(session, { claims: used });
  const { status } = await stage.ask(withProof(proof));
  assert.equal(status, 200);
  return { proof, used };
}

const REPLAYED = { expected: 'DP', reason: 'proof_replayed' } as const;
stage.run('DPP: a proof is good once', [
  {
    id: 'DPP-44',
    name: 'the same proof with a new assertion',
    ask: async () => withProof((await spentProof()).proof),
    ...REPLAYED,
    rows: { spent: 1 },
  },
  {
    id: 'DPP-44',
    name: 'the same proof with its other signature that verifies',
    ask: async () => withProof(twinOf((await spentProof()).proof)),
    ...REPLAYED,
    rows: { spent: 1 },
  },
  ...[
    { htu: `${TARGET}?x=1` },
    { htu: `${TARGET}#x` },
    { htu: 'https://BROKER.EXAMPLE.COM/oauth/token' },
    { htu: `https://${HOST}:443/oauth/token` },
    { iat: nowSeconds() - 5 },
    { extra: 'claim' },
  ].map(
    (members): Case => ({
      id: 'DPP-44',
      name: `the same jti and key, with ${JSON.stringify(members)}`,
      ask: async () => {
        const { used } = await spentProof();
        return withClaims({ ...used, ...members })();
      },
      ...REPLAYED,
      rows: { spent: 1 },
    }),
  ),
  {
    id: 'DPP-44',
    name: 'the same jti under another key',
    ask: async () => {
      const { used } = await spentProof();
      const other = newSessionKey('ed25519');
      return withProof(agent.proof(other, { claims: used }));
    },
    expected: 'OK',
  },
  {
    id: 'DPP-44',
    name: 'the same proof by another client',
    ask: async () => {
      const { proof } = await spentProof();
      return stage.tokenRequest({ by: stage.agentNamed('support-assistant'), dpop: proof });
    },
    ...REPLAYED,
    rows: { spent: 1 },
  },
  {
    id: 'DPP-44',
    name: 'a proof that was refused for its scope is not spent',
    ask: async () => {
      const request = stage.tokenRequest({ fields: { scope: 'db:made:up' } });
      const { status } = await stage.ask(request);
      assert.equal(status, 400);
      return { ...request, fields: { ...request.fields, scope: 'db:read:customers' } };
    },
    expected: 'OK',
  },
]);

test('DPP-36: both names of the Edwards algorithm, and keys with what libraries add, are taken', async () => {
  const edwards = newSessionKey('ed25519');
  for (const alg of ['EdDSA', 'Ed25519']) {
    const answer = await stage.ask(withProof(agent.proof(edwards, { header: { alg } })));
    assert.equal(answer.status, 200, answer.text);
  }
  const jwk = { ...session.publicJwk, kid: 'mine', alg: 'ES256', use: 'sig', key_ops: ['verify'], ext: true };
  const answer = await stage.ask(withHeader({ jwk })());
  assert.equal(answer.status, 200, answer.text);
});

test('DPP-33: naughty texts as jti, nonce and extra claims break nothing', async () => {
  const { default: naughty } = await import('../vectors/blns/blns.json', { with: { type: 'json' } });
  const key = newSessionKey();
  const withNaughty = (members: object) => withProof(agent.proof(key, { claims: members }));
  for (const text of new Set<string>(naughty.filter((each: string) => each.length < 2_000))) {
    const answer = await stage.ask(withNaughty({ jti: text, extra: text }));
    const printable = /^[\x20-\x7e]{1,256}$/.test(text);
    assert.equal(answer.status, printable ? 200 : 400, `${JSON.stringify(text)} ${answer.text}`);
    const nonce = await stage.ask(withNaughty({ nonce: text }));
    assert.equal(nonce.body.error, 'use_dpop_nonce', nonce.text);
  }
});

test('CAS-32, for proofs: every byte of a good proof, changed, makes it a bad one, and leaves the good one unspent', async () => {
  const good = agent.proof(session);
  const { fields = {} } = stage.tokenRequest();
  const outside = '+/=!%~ ';
  const wrong: string[] = [];
  for (let index = 0; index < good.length; index += 1) {
    const codes = [good.charCodeAt(index) ^ 1, outside.charCodeAt(index % outside.length)];
    for (const code of codes) {
      const bad = `${good.slice(0, index)}${String.fromCharCode(code)}${good.slice(index + 1)}`;
      const { status, body } = await stage.ask({ fields, headers: [['DPoP', bad]] });
      if (body?.error !== 'invalid_dpop_proof')
        wrong.push(`byte ${index} as ${code}: ${status} ${body?.error}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.equal(
    (await stage.ask({ fields, headers: [['DPoP', good]] })).status,
    200,
    'none of it burnt anything',
  );
});
