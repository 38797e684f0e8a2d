import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { describe, test } from 'node:test';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import { cosignNote, signNote } from '../../src/audit/sign-note.ts';
import {
  cosignedMessage,
  formatSignatureLine,
  formatSignedNote,
  MAX_NOTE_BYTES,
  MAX_SIGNATURES,
  type NoteSignature,
  openNote,
  parseSignatureLines,
  parseSignedNote,
} from '../../src/audit/signed-note.ts';
import { parseVerifierKey, verifierKeyOf } from '../../src/audit/verifier-key.ts';
import { fc } from '../properties.ts';
import { addSignatures } from './add-signatures.ts';
import { newSigningKey } from './sample-log.ts';

/** The example of C2SP signed-note. */
const VKEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const LINE =
  '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';
const NOTE = `This is an example message.\n\n${LINE}`;
const key = parseVerifierKey(VKEY);

/** The example of C2SP tlog-cosignature: read only, since its keys are not published. */
const COSIGNED = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
`;

const signer = newSigningKey('example.com/log');
const stranger = newSigningKey('example.com/stranger');
const witness = newSigningKey('witness.example.com/w1', 'witness');
const TEXT = 'a text\nof two lines\n';

describe('The published note', () => {
  test('is verified by the published key', () => {
    const opened = openNote(parseSignedNote(NOTE), [key]);
    assert.deepEqual(opened, {
      outcome: 'verified',
      text: 'This is an example message.\n',
      signers: [{ key }],
    });
  });

  test('is read and written without a difference', () => {
    assert.equal(formatSignedNote(parseSignedNote(NOTE)), NOTE);
    assert.equal(formatSignedNote(parseSignedNote(COSIGNED)), COSIGNED);
    assert.equal(parseSignedNote(COSIGNED).signatures.length, 2);
  });

  test('is refused with any one bit of its text or of its signature flipped', () => {
    const bytes = Buffer.from(NOTE);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const forged = Buffer.from(bytes);
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.notEqual(outcomeOf(forged), 'verified', `bit ${bit}`);
    }
  });
});

function outcomeOf(note: Uint8Array): string {
  try {
    return openNote(parseSignedNote(note), [key]).outcome;
  } catch (error) {
    assert.ok(error instanceof AuditFormatError, String(error));
    return 'malformed';
  }
}

describe('A verifier key', () => {
  test('is the published one, by its bytes', () => {
    assert.equal(key.name, 'example.com/foo');
    assert.equal(key.keyId, '530d903a');
    const publicKey = Buffer.from('e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4', 'hex');
    assert.equal(verifierKeyOf({ name: key.name, kind: 'log', publicKey }).vkey, VKEY);
  });

  test('of a key object has its public part only', () => {
    const made = verifierKeyOf({ name: 'a', kind: 'log', publicKey: signer.privateKey });
    assert.equal(made.keyObject.type, 'public');
    assert.deepEqual(parseVerifierKey(made.vkey).vkey, made.vkey);
  });

  test('of one key as a log and as a witness are two', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const asLog = verifierKeyOf({ name: 'a', kind: 'log', publicKey });
    const asWitness = verifierKeyOf({ name: 'a', kind: 'witness', publicKey });
    assert.notEqual(asLog.keyId, asWitness.keyId);
  });

  for (const [name, line] of [
    ['another key id', VKEY.replace('530d903a', '530d903b')],
    ['a key id in capitals', VKEY.replace('530d903a', '530D903A')],
    ['another name', VKEY.replace('foo', 'bar')],
    ['no name', VKEY.replace('example.com/foo', '')],
    ['a space in its name', VKEY.replace('example.com/', 'example.com ')],
    ['a no-break space in its name', VKEY.replace('example.com/', 'example.com\u00a0')],
    ['a next-line control in its name', VKEY.replace('example.com/', 'example.com\u0085')],
    ['a plus in its name', VKEY.replace('example.com/', 'example.com+')],
    ['a mark of direction in its name', VKEY.replace('example.com/', 'example.com\u202e')],
    ['another type', VKEY.replace('+AekyeR', '+AukyeR')],
    ['a key that is too short', 'a+00000000+AQ=='],
    ['no padding where there was some', 'a+00000000+AQ'],
    ['a line feed', `${VKEY}\n`],
    ['two parts', 'a+00000000'],
    ['nothing', ''],
    // The neutral element: under it anything verifies on some runtimes.
    ['a key of small order', smallOrder()],
  ] as const) {
    test(`with ${name} is refused`, () => assert.throws(() => parseVerifierKey(line), AuditFormatError));
  }
});

function smallOrder(): string {
  const material = Buffer.concat([Buffer.of(1, 1), Buffer.alloc(31)]);
  const keyId = createHash('sha256').update('a\n').update(material).digest('hex').slice(0, 8);
  return `a+${keyId}+${material.toString('base64')}`;
}

describe('A note', () => {
  const note = signNote(TEXT, [signer]);

  test('that was signed is verified, with the text byte for byte', () => {
    const opened = openNote(parseSignedNote(Buffer.from(note)), [signer.key]);
    assert.deepEqual(opened, { outcome: 'verified', text: TEXT, signers: [{ key: signer.key }] });
  });

  test('may hold empty lines: the last one ends the text', () => {
    const text = 'Ognuno sta solo\n\ned è subito sera.\n';
    assert.equal(parseSignedNote(signNote(text, [signer])).text, text);
  });

  test('NOTE-01: signatures of unknown keys are ignored, wherever they stand', () => {
    const mixed = signNote(TEXT, [stranger, signer, newSigningKey()]);
    assert.equal(openNote(parseSignedNote(mixed), [signer.key]).outcome, 'verified');
    assert.equal(openNote(parseSignedNote(mixed), [newSigningKey().key]).outcome, 'unknown-keys');
    assert.equal(openNote(parseSignedNote(mixed), []).outcome, 'unknown-keys');
  });

  test('NOTE-01: a bad signature of a known key condemns a note that another known key has signed', () => {
    const [bad] = parseSignedNote(signNote('another text\n', [stranger])).signatures;
    assert.ok(bad);
    const forged = addSignatures(note, [bad]);
    const opened = openNote(parseSignedNote(forged), [signer.key, stranger.key]);
    assert.deepEqual(opened, { outcome: 'bad-signature', key: stranger.key });
    assert.equal(openNote(parseSignedNote(forged), [signer.key]).outcome, 'verified');
  });

  test('the name or the key id alone does not make a key a known one', () => {
    const [signature] = parseSignedNote(note).signatures;
    assert.ok(signature);
    const others: NoteSignature[] = [
      { ...signature, name: 'example.com/other' },
      { ...signature, keyId: '00000000' },
    ];
    for (const other of others) {
      const forged = formatSignedNote({ text: TEXT, signatures: [other] });
      assert.equal(openNote(parseSignedNote(forged), [signer.key]).outcome, 'unknown-keys');
    }
  });

  test('NOTE-02: seventeen signatures are read, and those of post-quantum keys fit', () => {
    const signers = Array.from({ length: 16 }, (_, index) => newSigningKey(`example.com/${index}`));
    const many = signNote(TEXT, [...signers, signer]);
    assert.equal(openNote(parseSignedNote(many), [signer.key]).outcome, 'verified');
    const large = Array.from({ length: 16 }, (_, index) => ({
      name: `example.com/${index}`,
      keyId: '00000000',
      signature: Buffer.alloc(4_900),
    }));
    assert.equal(parseSignedNote(addSignatures(note, large)).signatures.length, 17);
  });

  test('NOTE-02: too many signatures and too many bytes are refused', () => {
    const [signature] = parseSignedNote(note).signatures;
    assert.ok(signature);
    const signatures = Array.from({ length: MAX_SIGNATURES + 1 }, () => signature);
    assert.throws(() => parseSignedNote(formatSignedNote({ text: TEXT, signatures })), AuditFormatError);
    const long = `${'a'.repeat(MAX_NOTE_BYTES)}\n\n${formatSignatureLine(signature)}`;
    assert.throws(() => parseSignedNote(long), AuditFormatError);
  });

  for (const [name, forged] of [
    ['no final line feed', NOTE.slice(0, -1)],
    ['CRLF', NOTE.replaceAll('\n', '\r\n')],
    ['a tab', NOTE.replace(' is', '\tis')],
    ['a NUL', NOTE.replace(' is', '\0is')],
    ['no empty line', NOTE.replace('\n\n', '\n')],
    ['no signature', 'This is an example message.\n\n'],
    ['an empty line behind its signatures', `${NOTE}\n`],
    ['a hyphen for the dash', NOTE.replace('—', '-')],
    ['two spaces behind the dash', NOTE.replace('— ', '—  ')],
    ['a no-break space in a key name', NOTE.replace('example.com/', 'example.com\u00a0')],
    ['a plus in a key name', NOTE.replace('example.com/', 'example.com+')],
    ['base64 without padding', NOTE.replace('QM=\n', 'QM\n')],
    ['base64 with bits that mean nothing', NOTE.replace('QM=\n', 'QN=\n')],
    ['base64url', NOTE.replace('Uw2QOkn8srV1', 'Uw2QOkn8srV_')],
    ['a signature that is a key id only', NOTE.replace(/ Uw2.*\n$/, ' Uw2QOg==\n')],
    ['something behind a signature', NOTE.replace('QM=\n', 'QM= more\n')],
    ['a lone surrogate', NOTE.replace(' is', '\ud800is')],
    ['bytes that are not UTF-8', Buffer.concat([Buffer.of(0xff), Buffer.from(NOTE)])],
    ['nothing in it', ''],
  ] as const) {
    test(`with ${name} is refused`, () => assert.throws(() => parseSignedNote(forged), AuditFormatError));
  }

  test('cannot be made of a text that could not be read', () => {
    assert.throws(() => signNote('no line feed', [signer]), AuditFormatError);
    assert.throws(() => signNote('a\ttab\n', [signer]), AuditFormatError);
    assert.throws(() => signNote(TEXT, []), AuditFormatError);
    assert.throws(() => signNote(TEXT, [witness]), RangeError);
  });

  test('of whatever text is read as it was written', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !/\p{Cc}/u.test(text));
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), (lines) => {
        const text = `${lines.join('\n')}\n`;
        const opened = openNote(parseSignedNote(signNote(text, [signer])), [signer.key]);
        assert.equal(opened.outcome === 'verified' && opened.text, text);
      }),
      { numRuns: 100 },
    );
  });

  test('is never anything but a note or a format error, whatever comes', () => {
    const pieces = fc.constantFrom('\n', '\n\n', '— ', 'a', ' ', 'AAAAAAAA', '=', '+', '\r', '\ud800', LINE);
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        try {
          const text = parts.join('');
          assert.equal(formatSignedNote(parseSignedNote(text)), text);
        } catch (error) {
          assert.ok(error instanceof AuditFormatError, String(error));
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('A cosignature', () => {
  const note = signNote(TEXT, [signer]);
  const cosignature = cosignNote(TEXT, { signer: witness, timestampSeconds: 1_679_315_147 });

  test('is verified with the moment that the witness names', () => {
    const opened = openNote(parseSignedNote(addSignatures(note, [cosignature])), [signer.key, witness.key]);
    assert.ok(opened.outcome === 'verified');
    assert.deepEqual(opened.signers[1], { key: witness.key, timestampSeconds: 1_679_315_147 });
  });

  test('is carried as the standard lays it out, in lines of its own', () => {
    assert.equal(cosignature.signature.length, 8 + 64);
    assert.equal(cosignature.signature.readBigUInt64BE(), 1_679_315_147n);
    assert.deepEqual(parseSignatureLines(formatSignatureLine(cosignature)), [cosignature]);
  });

  test('is refused with another moment, another text, no moment at all, or cut short', () => {
    const moved = Buffer.from(cosignature.signature);
    moved.writeUInt8(moved.readUInt8(7) ^ 1, 7);
    const ofNoMoment = sign(null, Buffer.from(cosignedMessage(TEXT, 0)), witness.privateKey);
    const timeless = Buffer.concat([Buffer.alloc(8), ofNoMoment]);
    const late = Buffer.from(cosignature.signature).fill(0xff, 0, 8);
    for (const signature of [moved, timeless, late, cosignature.signature.subarray(0, 8), Buffer.alloc(3)]) {
      const forged = addSignatures(note, [{ ...cosignature, signature }]);
      assert.equal(openNote(parseSignedNote(forged), [signer.key, witness.key]).outcome, 'bad-signature');
    }
    const elsewhere = addSignatures(signNote('another\n', [signer]), [cosignature]);
    assert.equal(openNote(parseSignedNote(elsewhere), [signer.key, witness.key]).outcome, 'bad-signature');
  });

  test('is made by witnesses only, and names a moment', () => {
    assert.throws(() => cosignNote(TEXT, { signer, timestampSeconds: 1 }), RangeError);
    for (const timestampSeconds of [0, -1, 0.5, Number.NaN, 2 ** 53]) {
      assert.throws(() => cosignNote(TEXT, { signer: witness, timestampSeconds }), RangeError);
    }
  });
});
