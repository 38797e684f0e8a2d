/**
 * What can be done to any signed JWT, whether it is a proof or an assertion: the same mutations for both, each
 * signed anew with the right key where that makes it worse, so that only the mutation itself can be the reason.
 */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { CANARY } from './after-checks.ts';
import type { Case } from './oracle.ts';
import type { Outcome } from './outcomes.ts';
import { base64url, bytesOf, macRawJws, P256_ORDER, partsOf, signBytes, signRawJws } from './raw-jws.ts';
import type { Attempt } from './raw-request.ts';

export type JwsSubject = {
  /** The line of the threat table for each kind of mutation. */
  ids: Readonly<Record<JwsMutation, string>>;
  refused: Outcome;
  /** Whether the header's kid means nothing. */
  ignoresKid: boolean;
  /** Of a P-256 key. */
  privateKey: KeyObject;
  publicJwk: object;
  /** Fresh ones that are good. */
  header(): Record<string, unknown>;
  claims(): Record<string, unknown>;
  /** A request that is good but for this text. */
  request(jws: string): Attempt;
};

type JwsMutation =
  | 'algorithm'
  | 'critical'
  | 'header'
  | 'duplicate'
  | 'encoding'
  | 'payload'
  | 'serialisation'
  | 'parts'
  | 'length'
  | 'signature'
  | 'extra';

const MAX_LENGTH = 8_192;

export function jwsCases(subject: JwsSubject): Case[] {
  return [
    ...algorithmCases(subject),
    ...headerCases(subject),
    ...duplicateCases(subject),
    ...encodingCases(subject),
    ...formCases(subject),
    ...signatureCases(subject),
  ];
}

type Make = (subject: JwsSubject) => string;

function caseOf(
  subject: JwsSubject,
  kind: JwsMutation,
  [name, make, expected = subject.refused]: readonly [string, Make, Outcome?],
): Case {
  return {
    id: subject.ids[kind],
    name,
    ask: () => subject.request(make(subject)),
    expected,
  };
}

/** Signed with the right key, with these members of the header set, or taken away when undefined. */
function headerWith(members: Record<string, unknown>): Make {
  return ({ header, claims, privateKey }) =>
    signRawJws(JSON.stringify({ ...header(), ...members }), JSON.stringify(claims()), privateKey);
}

/** Signed with the right key, with the text of header or payload rewritten. */
function textWith({
  header: ofHeader = (text) => text,
  payload: ofPayload = (text) => text,
}: {
  header?: (text: string) => string | Buffer;
  payload?: (text: string) => string | Buffer;
}): Make {
  return ({ header, claims, privateKey }) =>
    signRawJws(ofHeader(JSON.stringify(header())), ofPayload(JSON.stringify(claims())), privateKey);
}

function partsWith(change: (parts: ReturnType<typeof partsOf>) => string): Make {
  return (subject) => change(partsOf(headerWith({})(subject)));
}

/** The 64 bytes of the signature rewritten. */
function signatureWith(change: (signature: Buffer) => Buffer): Make {
  return partsWith(
    ({ header, payload, signature }) =>
      `${header}.${payload}.${change(Buffer.from(signature, 'base64url')).toString('base64url')}`,
  );
}

const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });

function algorithmCases(subject: JwsSubject): Case[] {
  const named = [
    'none',
    'None',
    '',
    null,
    7,
    ['ES256'],
    { name: 'ES256' },
    undefined,
    'HS256',
    'HS512',
    'RS256',
    'PS256',
    'ES384',
    'ES512',
    'ES256K',
    'es256',
    'ES256 ',
    ' ES256',
    'EdDSA',
    'Ed25519',
    'Ed448',
    'ML-DSA-44',
    'dir',
    'constructor',
    '__proto__',
    CANARY,
  ];
  const unsigned: Make = ({ header, claims }) =>
    `${base64url(JSON.stringify({ ...header(), alg: 'none' }))}.${base64url(JSON.stringify(claims()))}.`;
  const byRsa: Make = ({ header, claims }) =>
    signRawJws(
      JSON.stringify({ ...header(), alg: 'RS256', jwk: rsa.publicKey.export({ format: 'jwk' }) }),
      JSON.stringify(claims()),
      rsa.privateKey,
    );
  const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' });
  const withMac =
    (alg: string, secret: (subject: JwsSubject) => string | Buffer): Make =>
    (one) =>
      macRawJws(
        JSON.stringify({ ...one.header(), alg }),
        JSON.stringify(one.claims()),
        secret(one),
        alg === 'HS512' ? 'sha512' : 'sha256',
      );
  return [
    ...named.map((alg): readonly [string, Make] => [`alg ${JSON.stringify(alg)}`, headerWith({ alg })]),
    ['alg none without a signature', unsigned] as const,
    ...['HS256', 'HS512'].flatMap((alg): (readonly [string, Make])[] => [
      [`${alg} with the JWK as the secret`, withMac(alg, ({ publicJwk }) => JSON.stringify(publicJwk))],
      [`${alg} with an empty secret`, withMac(alg, () => '')],
      [`${alg} with a PEM as the secret`, withMac(alg, () => String(pem(rsa.publicKey)))],
    ]),
    ['RS256 with an RSA key', byRsa] as const,
  ].map((entry) => caseOf(subject, 'algorithm', entry));
}

function headerCases(subject: JwsSubject): Case[] {
  const critical: [string, Record<string, unknown>][] = [
    ['of an unknown extension that is there', { crit: ['foo'], foo: 1 }],
    ['of an unknown extension that is missing', { crit: ['foo'] }],
    ['empty', { crit: [] }],
    ['a string', { crit: 'exp' }],
    ['null', { crit: null }],
    ['b64', { crit: ['b64'], b64: false }],
    ['b64 true', { crit: ['b64'], b64: true }],
    ['alg', { crit: ['alg'] }],
    ['twice the same', { crit: ['foo', 'foo'], foo: 1 }],
  ];
  const forbidden = ['jku', 'x5u', 'x5c', 'zip', 'enc', 'p2c', 'epk', 'b64'];
  const harmless = ['kid', 'x5t', 'x5t#S256', 'cty', 'url', 'nonce', 'ppt', 'toString', 'x-vendor'];
  return [
    ...critical.map(([name, members]) => caseOf(subject, 'critical', [`crit ${name}`, headerWith(members)])),
    ...forbidden.map((name) =>
      caseOf(subject, 'header', [
        `the header member ${name}`,
        headerWith({ [name]: 'https://evil.test/keys' }),
      ]),
    ),
    ...harmless
      .filter((name) => name !== 'kid' || subject.ignoresKid)
      .map((name) =>
        caseOf(subject, 'extra', [`the header member ${name}`, headerWith({ [name]: 'x' }), 'OK']),
      ),
    caseOf(subject, 'extra', [
      'unknown claims of every kind',
      textWith({
        payload: (text) =>
          `${text.slice(0, -1)},"a":[1,{"b":null}],"c":1.5,"d":"\u00e4\ud83e\udd8b","e":false}`,
      }),
      'OK',
    ]),
  ];
}

function duplicateCases(subject: JwsSubject): Case[] {
  const prefix = (member: string) => (text: string) => `{${member},${text.slice(1)}`;
  const suffix = (member: string) => (text: string) => `${text.slice(0, -1)},${member}}`;
  const again = (members: Record<string, unknown>, name: string) =>
    `${JSON.stringify(name)}:${JSON.stringify(members[name])}`;
  const entries: (readonly [string, Make])[] = [
    ['alg none, then ES256', textWith({ header: prefix('"alg":"none"') })],
    ['alg ES256, then none', textWith({ header: suffix('"alg":"none"') })],
    ['alg twice the same', textWith({ header: suffix('"alg":"ES256"') })],
    ['alg again, escaped', textWith({ header: suffix('"\\u0061lg":"ES256"') })],
    ['typ twice', textWith({ header: prefix('"typ":"JWT"') })],
    ['jwk twice', textWith({ header: (text) => prefix('"jwk":{"kty":"EC"},"jwk":{}')(text) })],
    ['a member twice inside another', textWith({ header: suffix('"x":{"a":1,"a":1}') })],
    ['an unknown claim twice', textWith({ payload: suffix('"x":1,"x":2') })],
    ['a claim twice inside another', textWith({ payload: suffix('"x":[{"a":1,"b":2,"a":1}]') })],
    ['the header member __proto__', textWith({ header: suffix('"__proto__":{"alg":"none"}') })],
    ['the claim __proto__', textWith({ payload: suffix('"__proto__":{"admin":true}') })],
    ['the claim __proto__, escaped', textWith({ payload: suffix('"\\u005f_proto__":{"admin":true}') })],
    ...Object.keys(subject.claims()).map((name): readonly [string, Make] => [
      `the claim ${name} twice the same`,
      ({ header, claims, privateKey }) => {
        const members = claims();
        const payload = suffix(again(members, name))(JSON.stringify(members));
        return signRawJws(JSON.stringify(header()), payload, privateKey);
      },
    ]),
  ];
  return entries.map((entry) => caseOf(subject, 'duplicate', entry));
}

function encodingCases(subject: JwsSubject): Case[] {
  const claim = (member: string) => (text: string) => `${text.slice(0, -1)},${member}}`;
  const both: [string, (text: string) => string | Buffer][] = [
    ['a byte order mark', (text) => `\ufeff${text}`],
    ['a byte that is no UTF-8', (text) => Buffer.concat([Buffer.from(text), Buffer.from([0xff])])],
    [
      'UTF-8 in the long form',
      (text) => Buffer.concat([Buffer.from([0xc1, 0xbb]), Buffer.from(text.slice(1))]),
    ],
    ['an escaped lone surrogate', claim('"x":"\\ud800"')],
    ['an escaped lone surrogate in a name', claim('"\\udfff":1')],
    [
      'a surrogate as bytes',
      (text) =>
        Buffer.concat([
          Buffer.from(`${text.slice(0, -1)},"x":"`),
          Buffer.from([0xed, 0xa0, 0x80]),
          Buffer.from('"}'),
        ]),
    ],
    ['an escaped NUL', claim('"x":"a\\u0000b"')],
    ['an escaped NUL in a name', claim('"a\\u0000":1')],
    ['a raw NUL after it', (text) => `${text}\u0000`],
    ['a raw control character in a string', claim('"x":"a\u0001b"')],
    ['a second document after it', (text) => `${text}{}`],
    ['a comma at the end', (text) => `${text.slice(0, -1)},}`],
    ['single quotes', (text) => text.replaceAll('"', "'")],
    ['a comment', (text) => `/* x */${text}`],
    ['a name without quotes', claim('x:1')],
    ['NaN', claim('"x":NaN')],
    ['UTF-16', (text) => Buffer.from(text, 'utf16le')],
    ['UTF-32', (text) => Buffer.from([...text].flatMap((c) => [c.charCodeAt(0), 0, 0, 0]))],
    ['1e400', claim('"x":1e400')],
    ['2^53 + 1', claim('"x":9007199254740993')],
    ['01', claim('"x":01')],
    ['+1', claim('"x":+1')],
    ['1.', claim('"x":1.')],
    ['0x10', claim('"x":0x10')],
    ['a depth of a hundred', claim(`"x":${'['.repeat(100)}${']'.repeat(100)}`)],
    ['a depth of two thousand', claim(`"x":${'['.repeat(2_000)}${']'.repeat(2_000)}`)],
    ['a depth that never ends', (text) => `${text.slice(0, -1)},"x":${'{"a":'.repeat(500)}`],
    ['a thousand members', claim(`"x":[${'1,'.repeat(1_000)}1]`)],
  ];
  return both.flatMap(([name, change]) => [
    caseOf(subject, 'encoding', [`header: ${name}`, textWith({ header: change })]),
    caseOf(subject, 'encoding', [`payload: ${name}`, textWith({ payload: change })]),
  ]);
}

function formCases(subject: JwsSubject): Case[] {
  const payloads = ['[]', 'null', '"x"', '1', 'true', '{}', '', ' ', '[{}]', '[["htm","POST"]]'];
  const nonsense = '!@%~';
  const inner = (parts: ReturnType<typeof partsOf>) => ({
    payload: parts.payload,
    protected: parts.header,
    signature: parts.signature,
  });
  const entries: (readonly [JwsMutation, string, Make])[] = [
    ...payloads.map((text): readonly [JwsMutation, string, Make] => [
      'payload',
      `payload ${JSON.stringify(text)}`,
      textWith({ payload: () => text }),
    ]),
    ...payloads.map((text): readonly [JwsMutation, string, Make] => [
      'payload',
      `header ${JSON.stringify(text)}`,
      textWith({ header: () => text }),
    ]),
    ['serialisation', 'flattened JSON', partsWith((parts) => JSON.stringify(inner(parts)))],
    [
      'serialisation',
      'general JSON with two signatures',
      partsWith((parts) => {
        const { payload, ...signature } = inner(parts);
        return JSON.stringify({ payload, signatures: [signature, signature] });
      }),
    ],
    [
      'serialisation',
      'flattened JSON with an unprotected alg',
      partsWith((parts) => JSON.stringify({ ...inner(parts), header: { alg: 'none' } })),
    ],
    [
      'parts',
      'four parts',
      partsWith(({ header, payload, signature }) => [header, payload, signature, signature].join('.')),
    ],
    [
      'parts',
      'five parts',
      partsWith(({ header, payload, signature }) => [header, '', '', payload, signature].join('.')),
    ],
    ['parts', 'two parts', partsWith(({ header, payload }) => `${header}.${payload}`)],
    ['parts', 'two parts and a dot', partsWith(({ header, payload }) => `${header}.${payload}.`)],
    ['parts', 'one part', partsWith(({ header }) => header)],
    [
      'parts',
      'a dot before',
      partsWith(({ header, payload, signature }) => `.${header}.${payload}.${signature}`),
    ],
    [
      'parts',
      'a dot after',
      partsWith(({ header, payload, signature }) => `${header}.${payload}.${signature}.`),
    ],
    ['parts', 'no header', partsWith(({ payload, signature }) => `.${payload}.${signature}`)],
    ['parts', 'no payload', partsWith(({ header, signature }) => `${header}..${signature}`)],
    ['parts', 'only dots', () => '..'],
    ['parts', 'one dot', () => '.'],
    ['parts', 'nonsense', () => nonsense],
    ['parts', 'null', () => 'null'],
    [
      'encoding',
      'padding after the signature',
      partsWith(({ header, payload, signature }) => `${header}.${payload}.${signature}==`),
    ],
    [
      'encoding',
      'padding after the header',
      partsWith(({ header, payload, signature }) => `${header}=.${payload}.${signature}`),
    ],
    [
      'encoding',
      'a space in the payload',
      partsWith(
        ({ header, payload, signature }) =>
          `${header}.${payload.slice(0, 9)} ${payload.slice(9)}.${signature}`,
      ),
    ],
    [
      'encoding',
      'an exclamation mark in the signature',
      partsWith(
        ({ header, payload, signature }) =>
          `${header}.${payload}.${signature.slice(0, 9)}!${signature.slice(9)}`,
      ),
    ],
    [
      'encoding',
      'unused bits in the last character of the signature',
      partsWith(({ header, payload, signature }) => `${header}.${payload}.${withUnusedBits(signature)}`),
    ],
    ['encoding', 'the base64 alphabet', signedWithPlainBase64],
    ['length', 'one character more than the bound', ofLength(MAX_LENGTH + 1)],
    ['length', '12,000 characters', ofLength(12_000)],
  ];
  return [
    ...entries.map(([kind, name, make]) => caseOf(subject, kind, [name, make])),
    caseOf(subject, 'length', ['as long as the bound', ofLength(MAX_LENGTH), 'OK']),
  ];
}

/** A header in the other alphabet and with padding, signed as it stands. */
function signedWithPlainBase64({ header, claims, privateKey }: JwsSubject): string {
  const plain = Buffer.from(JSON.stringify({ ...header(), x: '???>>>~~~' })).toString('base64');
  const input = `${plain}.${base64url(JSON.stringify(claims()))}`;
  return `${input}.${signBytes(Buffer.from(input), privateKey).toString('base64url')}`;
}

/** The last of 86 characters carries two bits of the signature and four that mean nothing. */
function withUnusedBits(signature: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(signature.at(-1) ?? 'A');
  return `${signature.slice(0, -1)}${alphabet[last + 1] ?? 'B'}`;
}

/** A good one that is exactly so long: padded by claims, and by a header member for what thirds cannot give. */
function ofLength(length: number): Make {
  return (subject) => {
    const { header, claims, privateKey } = subject;
    for (const extra of ['', 'y', 'yy', 'yyy']) {
      const head = JSON.stringify({ ...header(), y: extra });
      const body = claims();
      const missing = length - base64url(head).length - 2 - 86;
      const bytes = Math.floor((missing * 3) / 4);
      const short = bytes - Buffer.byteLength(JSON.stringify({ ...body, pad: '' }));
      const jws = signRawJws(head, JSON.stringify({ ...body, pad: 'p'.repeat(short) }), privateKey);
      if (jws.length === length) return jws;
    }
    throw new Error(`no JWT of ${length} characters`);
  };
}

function signatureCases(subject: JwsSubject): Case[] {
  const zero = bytesOf(0n);
  const order = bytesOf(P256_ORDER);
  const halves = (change: (r: Buffer, s: Buffer) => Buffer[]) =>
    signatureWith((bytes) => Buffer.concat(change(bytes.subarray(0, 32), bytes.subarray(32))));
  const der = ({ header, claims, privateKey }: JwsSubject) => {
    const input = `${base64url(JSON.stringify(header()))}.${base64url(JSON.stringify(claims()))}`;
    const ieee = signBytes(Buffer.from(input), privateKey);
    const integer = (half: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), half]);
    const body = Buffer.concat([integer(ieee.subarray(0, 32)), integer(ieee.subarray(32))]);
    return `${input}.${Buffer.concat([Buffer.from([0x30, body.length]), body]).toString('base64url')}`;
  };
  const entries: (readonly [string, Make])[] = [
    ['r = 0', halves((_, s) => [zero, s])],
    ['s = 0', halves((r) => [r, zero])],
    ['r = s = 0', halves(() => [zero, zero])],
    ['r = n', halves((_, s) => [order, s])],
    ['s = n', halves((r) => [r, order])],
    ['r > n', halves((_, s) => [bytesOf(P256_ORDER + 5n), s])],
    ['r = s = 1', halves(() => [bytesOf(1n), bytesOf(1n)])],
    ['all bits set', halves(() => [Buffer.alloc(64, 0xff)])],
    ['the halves swapped', halves((r, s) => [s, r])],
    ['the first bit flipped', signatureWith((bytes) => flipped(bytes, 0))],
    ['the last bit flipped', signatureWith((bytes) => flipped(bytes, 63))],
    ['63 bytes', signatureWith((bytes) => bytes.subarray(0, 63))],
    ['65 bytes', signatureWith((bytes) => Buffer.concat([bytes, Buffer.from([0])]))],
    ['32 bytes', signatureWith((bytes) => bytes.subarray(0, 32))],
    ['96 bytes', signatureWith((bytes) => Buffer.concat([bytes, Buffer.alloc(32)]))],
    ['as DER', der],
    [
      'of another key',
      ({ header, claims }) =>
        signRawJws(
          JSON.stringify(header()),
          JSON.stringify(claims()),
          generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
        ),
    ],
    [
      'of another JWT with the same key',
      (one) => {
        const { header, payload } = partsOf(headerWith({})(one));
        return `${header}.${payload}.${partsOf(headerWith({})(one)).signature.replace(/^./, (c) => (c === 'A' ? 'B' : 'A'))}`;
      },
    ],
  ];
  return entries.map(([name, make]) => caseOf(subject, 'signature', [`a signature: ${name}`, make]));
}

function flipped(bytes: Buffer, index: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(index) ^ (index === 63 ? 1 : 128), index);
  return copy;
}
