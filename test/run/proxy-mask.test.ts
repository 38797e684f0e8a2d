import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSecrets } from '../../src/run/proxy-mask.ts';
import { fc } from '../properties.ts';

const SECRETS = [
  'eyJhbGciOiJFUzI1NiJ9.token.one',
  'eyJhbGciOiJFUzI1NiJ9.token.two',
  'opaque-secret-of-another-kind',
];

function maskedIn(pieces: readonly string[]): string {
  const secrets = createSecrets();
  for (const secret of SECRETS) secrets.remember(secret);
  const mask = secrets.openMask();
  const passed = pieces.map((piece) => mask.pass(Buffer.from(piece)));
  return Buffer.concat([...passed, mask.end()]).toString();
}

test('however a body is cut into pieces, no secret in it arrives and everything else does (EGR-12)', () => {
  const noise = fc.constantFrom(
    'e',
    'ey',
    'eyJhbGciOiJFUzI1NiJ9',
    '.token.',
    'opaque',
    ' ',
    'x'.repeat(40),
    '\u00e9',
  );
  const part = fc.oneof(
    fc.constantFrom(...SECRETS),
    noise,
    fc.constantFrom(...SECRETS).map((each) => each.slice(0, -1)),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), fc.array(fc.nat(9)), (parts, sizes) => {
      const body = parts.join('');
      const pieces: string[] = [];
      for (let at = 0; at < body.length; at += pieces.at(-1)?.length || 1) {
        pieces.push(body.slice(at, at + 1 + (sizes[pieces.length % sizes.length] ?? 0)));
      }
      const expected = SECRETS.reduce(
        (text, secret) => text.replaceAll(secret, '*'.repeat(secret.length)),
        body,
      );
      assert.equal(maskedIn(pieces), expected);
    }),
  );
});

test('what cannot be the beginning of a secret is passed on at once', () => {
  const secrets = createSecrets();
  for (const secret of SECRETS) secrets.remember(secret);
  const mask = secrets.openMask();
  assert.equal(mask.pass(Buffer.from('data: one\n\n')).toString(), 'data: one\n\n');
  assert.equal(mask.pass(Buffer.from('data: eyJhbGciOiJFUzI1NiJ9.tok')).toString(), 'data: ');
  assert.equal(mask.pass(Buffer.from('!')).toString(), 'eyJhbGciOiJFUzI1NiJ9.tok!');
});

test('a token that is shown again and again is remembered longer than the proofs beside it', () => {
  const secrets = createSecrets();
  const token = 'eyJ-a-token-that-goes-on.and.on';
  for (let count = 0; count < 1_000; count += 1) {
    secrets.remember(token);
    secrets.remember(`eyJ-a-proof-that-is-new-${count}`);
  }
  assert.equal(secrets.maskText(`a ${token} b`), `a ${'*'.repeat(token.length)} b`);
  assert.equal(secrets.maskText('eyJ-a-proof-that-is-new-0'), 'eyJ-a-proof-that-is-new-0');
});
