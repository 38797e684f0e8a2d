import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  encodeHeader,
  JwsError,
  readCompactJws,
  signCompactJws,
  verifySignature,
} from '../../src/jws/compact-jws.ts';
import { type JwsAlgorithm, parseVerificationKey, type VerificationKey } from '../../src/jws/jwk.ts';
import { fc } from '../properties.ts';

const MAX_LENGTH = 8_192;
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const keyOf = (publicKey: KeyObject) => parseVerificationKey(publicKey.export({ format: 'jwk' }));

type Signer = { algorithm: JwsAlgorithm; privateKey: KeyObject; key: VerificationKey };

function signers(): Signer[] {
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const edwards = generateKeyPairSync('ed25519');
  return [
    { algorithm: 'ES256', privateKey: curve.privateKey, key: keyOf(curve.publicKey) },
    { algorithm: 'Ed25519', privateKey: edwards.privateKey, key: keyOf(edwards.publicKey) },
    { algorithm: 'EdDSA', privateKey: edwards.privateKey, key: keyOf(edwards.publicKey) },
  ];
}

/** True only when the text is read and its signature verifies: what every caller does. */
function verifies(text: string, key: VerificationKey): boolean {
  try {
    return verifySignature(readCompactJws(text, MAX_LENGTH), key);
  } catch (error) {
    assert.ok(error instanceof JwsError, `${error}`);
    return false;
  }
}

describe('The published JWTs', () => {
  const curve = parseVerificationKey({
    kty: 'EC',
    crv: 'P-256',
    x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
    y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  });
  const es256 =
    'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q';

  test('RFC 7515 A.3: the ES256 sample verifies and its claims are read', () => {
    assert.ok(verifies(es256, curve));
    assert.deepEqual(readCompactJws(es256, MAX_LENGTH).claims, {
      iss: 'joe',
      exp: 1300819380,
      'http://example.com/is_root': true,
    });
  });

  test('RFC 8037 A.4: the Ed25519 signature verifies, and its payload is refused because it is no JSON', () => {
    const key = parseVerificationKey({
      kty: 'OKP',
      crv: 'Ed25519',
      x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
    });
    const jws =
      'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg';
    const signature = Buffer.from(jws.slice(jws.lastIndexOf('.') + 1), 'base64url');
    const signingInput = jws.slice(0, jws.lastIndexOf('.'));
    assert.ok(verifySignature({ header: { alg: 'EdDSA' }, claims: {}, signingInput, signature }, key));
    assert.throws(() => readCompactJws(jws, MAX_LENGTH), JwsError);
  });

  test('RFC 8037 A.4: signing the sample again gives the same signature', () => {
    const seed = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A';
    const x = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo';
    const privateKey = createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d: seed, x }, format: 'jwk' });
    const once = signCompactJws(encodeHeader({ alg: 'EdDSA', typ: 'JWT' }), { a: 1 }, privateKey);
    assert.equal(once, signCompactJws(encodeHeader({ alg: 'EdDSA', typ: 'JWT' }), { a: 1 }, privateKey));
    assert.ok(verifies(once, keyOf(createPublicKey(privateKey))));
  });

  const proofKey = parseVerificationKey({
    kty: 'EC',
    crv: 'P-256',
    x: 'l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs',
    y: '9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA',
  });
  const header =
    'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19';
  const figures = {
    'Figure 2':
      'eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg',
    'Figure 7':
      'eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjY1Mjk2fQ.pAqut2IRDm_De6PR93SYmGBPXpwrAk90e8cP2hjiaG5QsGSuKDYW7_X620BxqhvYC8ynrrvZLTk41mSRroapUA',
    'Figure 13':
      'eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA',
  };
  for (const [figure, rest] of Object.entries(figures)) {
    test(`RFC 9449 ${figure}: the proof verifies under the key in its header`, () => {
      const proof = readCompactJws(`${header}.${rest}`, MAX_LENGTH);
      assert.equal(parseVerificationKey(proof.header.jwk).thumbprint, proofKey.thumbprint);
      assert.ok(verifySignature(proof, proofKey));
    });
  }
});

describe('What is not one signed JWT in compact form is refused', () => {
  const claims = encode({ iss: 'a' });
  const signature = Buffer.alloc(64, 1).toString('base64url');
  const jwt = (header: unknown) => `${encode(header)}.${claims}.${signature}`;
  const good = encode({ alg: 'ES256' });
  const signerKey = keyOf(generateKeyPairSync('ed25519').publicKey);
  const cases: [string, string][] = [
    ['nothing', ''],
    ['one part', good],
    ['two parts', `${good}.${claims}`],
    ['four parts', `${good}.${claims}.${signature}.${signature}`],
    ['five parts, an encrypted JWT', `${good}.a.b.c.d`],
    ['a leading dot', `.${good}.${claims}.${signature}`],
    ['a trailing dot', `${good}.${claims}.${signature}.`],
    ['an empty header', `.${claims}.${signature}`],
    ['an empty payload', `${good}..${signature}`],
    ['an empty signature', `${good}.${claims}.`],
    ['a signature of 63 bytes', `${good}.${claims}.${Buffer.alloc(63).toString('base64url')}`],
    ['a signature of 65 bytes', `${good}.${claims}.${Buffer.alloc(65).toString('base64url')}`],
    ['a DER signature', `${good}.${claims}.${Buffer.alloc(70, 0x30).toString('base64url')}`],
    ['the second spelling of a signature', `${good}.${claims}.${signature.slice(0, -1)}R`],
    ['a trailing line feed', `${good}.${claims}.${signature}\n`],
    ['padding', `${good}.${claims}.${signature}==`],
    ['two proofs in one header', `${good}.${claims}.${signature}, ${good}.${claims}.${signature}`],
    ['the flattened JSON serialisation', JSON.stringify({ protected: good, payload: claims, signature })],
    ['a header that is an array', jwt([{ alg: 'ES256' }])],
    ['a header that is null', jwt(null)],
    ['a header without alg', jwt({ typ: 'JWT' })],
    ['an alg that is a number', jwt({ alg: 1 })],
    ['alg twice', jwt('{"alg":"none","alg":"ES256"}')],
    ['a header with a byte order mark', jwt('\ufeff{"alg":"ES256"}')],
    [
      'a header that is not UTF-8',
      `${Buffer.from('{"alg":"ES256","kid":"\xff"}', 'latin1').toString('base64url')}.${claims}.${signature}`,
    ],
    ['a payload that is an array', `${good}.${encode([1])}.${signature}`],
    ['a payload that is a string', `${good}.${encode('"a"')}.${signature}`],
    ['a payload with a member twice', `${good}.${encode('{"aud":"a","aud":"b"}')}.${signature}`],
    ['a payload with a lone surrogate', `${good}.${encode('{"jti":"\\ud800"}')}.${signature}`],
    [
      'a payload nested nine deep',
      `${good}.${encode(`{"a":${'['.repeat(8)}${']'.repeat(8)}}`)}.${signature}`,
    ],
    ['a number past 2^53', `${good}.${encode('{"exp":9007199254740993}')}.${signature}`],
    ...['crit', 'jku', 'x5u', 'x5c', 'zip', 'enc', 'p2c', 'epk', 'b64'].map((name): [string, string] => [
      `a header with ${name}`,
      jwt({ alg: 'ES256', [name]: [] }),
    ]),
  ];
  for (const [name, text] of cases) {
    test(`${name} is refused`, () => assert.throws(() => readCompactJws(text, MAX_LENGTH), JwsError));
  }

  test('length is looked at first, so a megabyte costs nothing', () => {
    const text = `${good}.${'A'.repeat(1_000_000)}.${signature}`;
    assert.throws(() => readCompactJws(text, MAX_LENGTH), /longer than 8192 characters/);
  });

  test('unknown members of header and payload are let through', () => {
    const text = `${encode({ alg: 'ES256', kid: 'k', cty: 'x', more: { a: 1 } })}.${encode({ float: 1.5 })}.${signature}`;
    assert.equal(readCompactJws(text, MAX_LENGTH).header.kid, 'k');
  });

  test('any text is either read or refused with JwsError', () => {
    const piece = fc.oneof(
      fc.base64String({ maxLength: 12 }),
      fc.constantFrom(good, claims, signature, '', '.', '..'),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (parts) => {
        verifies(parts.join('.'), signerKey);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('A signature stands for exactly these bytes and this key', () => {
  for (const { algorithm, privateKey, key } of signers()) {
    const header = encodeHeader({ alg: algorithm, typ: 'JWT', kid: 'k' });
    const text = signCompactJws(header, { iss: 'agent', jti: 'a', exp: 1_790_000_000 }, privateKey);

    test(`${algorithm}: what was signed verifies`, () => assert.ok(verifies(text, key)));

    test(`${algorithm}: no change of a single byte verifies`, () => {
      for (let at = 0; at < text.length; at += 1) {
        for (const replacement of replacements(text.charAt(at))) {
          const changed = text.slice(0, at) + replacement + text.slice(at + 1);
          assert.ok(!verifies(changed, key), `byte ${at} as ${JSON.stringify(replacement)}`);
        }
      }
    });

    test(`${algorithm}: no byte can be left out or doubled`, () => {
      for (let at = 0; at < text.length; at += 1) {
        assert.ok(!verifies(text.slice(0, at) + text.slice(at + 1), key), `without byte ${at}`);
        assert.ok(!verifies(text.slice(0, at) + text.charAt(at) + text.slice(at), key), `byte ${at} twice`);
      }
    });

    test(`${algorithm}: another key of the same kind does not verify it`, () => {
      for (const other of signers()) assert.ok(!verifies(text, other.key));
    });
  }

  test('an alg that does not fit the key is refused before the signature is looked at', () => {
    const [curve, edwards] = signers();
    assert.ok(curve && edwards);
    for (const alg of ['none', 'HS256', 'ES256K', 'es256', 'RS256']) {
      const jwt = readCompactJws(signCompactJws(encode({ alg }), {}, curve.privateKey), MAX_LENGTH);
      assert.equal(verifySignature(jwt, curve.key), false);
    }
    const swapped = signCompactJws(encodeHeader({ alg: 'EdDSA', typ: 'JWT' }), {}, curve.privateKey);
    assert.ok(!verifies(swapped, curve.key) && !verifies(swapped, edwards.key));
  });

  test('a part whose unused bits are set is another text, and refused', () => {
    const [curve] = signers();
    assert.ok(curve);
    const text = signCompactJws(encodeHeader({ alg: 'ES256', typ: 'JWT' }), { a: 1 }, curve.privateKey);
    const signature = Buffer.from(text.slice(text.lastIndexOf('.') + 1), 'base64url');
    const spellings = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
      .split('')
      .map((last) => text.slice(0, -1) + last)
      .filter((other) => Buffer.from(other.slice(other.lastIndexOf('.') + 1), 'base64url').equals(signature));
    assert.equal(spellings.length, 16);
    assert.deepEqual(
      spellings.filter((other) => verifies(other, curve.key)),
      [text],
    );
  });
});

/** Neighbours in the alphabet, another separator, and characters that lenient decoders skip. */
function replacements(character: string): string[] {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const place = alphabet.indexOf(character);
  const near = [1, 2, 4, 8, 16, 32].map((bit) => alphabet.charAt((place ^ bit) & 63));
  return [...near, '.', '=', ' ', '\n', '\u0000', '+', 'é'].filter((other) => other !== character);
}
