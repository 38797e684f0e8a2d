import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from '../../src/audit/checkpoint.ts';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import { formatLogProof, parseLogProof } from '../../src/audit/log-proof.ts';
import { EMPTY_ROOT } from '../../src/audit/merkle-tree.ts';
import { cosignNote, signNote } from '../../src/audit/sign-note.ts';
import { parseSignedNote } from '../../src/audit/signed-note.ts';
import { addSignatures } from './add-signatures.ts';
import { createSampleLog, newSigningKey, ORIGIN, sampleEntries } from './sample-log.ts';
import { verifyLogProof } from './verify-log-proof.ts';

const signer = newSigningKey();
const other = newSigningKey();
const witness = newSigningKey('witness.example.com/w1', 'witness');
const log = createSampleLog(sampleEntries(20), signer);
const checkpoint = { origin: ORIGIN, size: 20, root: log.rootAt(20) };
const TEXT = formatCheckpoint(checkpoint);
const trust = { origin: ORIGIN, keys: [signer.key] };

/** The example of C2SP tlog-checkpoint. */
const PUBLISHED = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
`;

describe('The text of a checkpoint', () => {
  test('that is published is read and written', () => {
    const parsed = parseCheckpoint(PUBLISHED);
    assert.equal(parsed.origin, 'example.com/behind-the-sofa');
    assert.equal(parsed.size, 20_852_163);
    assert.equal(formatCheckpoint(parsed), PUBLISHED);
  });

  const [, size = '', root = ''] = TEXT.split('\n');
  for (const [name, text] of [
    ['a leading zero', TEXT.replace(`\n${size}\n`, `\n0${size}\n`)],
    ['a sign', TEXT.replace(`\n${size}\n`, `\n+${size}\n`)],
    ['a size in hexadecimal', TEXT.replace(`\n${size}\n`, '\n0x14\n')],
    ['a size in other digits', TEXT.replace(`\n${size}\n`, '\n٢٠\n')],
    ['a size past 2^53', TEXT.replace(`\n${size}\n`, '\n9007199254740992\n')],
    ['no size', TEXT.replace(`\n${size}\n`, '\n\n')],
    ['a space behind its size', TEXT.replace(`\n${size}\n`, `\n${size} \n`)],
    ['a root that is too short', TEXT.replace(root, 'AAAA')],
    ['a root without padding', TEXT.replace('=\n', '\n')],
    ['a root with bits that mean nothing', TEXT.replace(/.=\n$/, '1=\n')],
    ['CRLF', TEXT.replaceAll('\n', '\r\n')],
    ['no final line feed', TEXT.slice(0, -1)],
    ['an extension line', `${TEXT}more\n`],
    ['an empty line', `${TEXT}\n`],
    ['no origin', TEXT.replace(ORIGIN, '')],
    ['a no-break space in its origin', TEXT.replace('.com/', '.com\u00a0')],
    ['a plus in its origin', TEXT.replace('.com/', '.com+')],
    ['two lines', TEXT.split('\n').slice(0, 2).join('\n')],
  ] as const) {
    test(`with ${name} is refused`, () => {
      assert.notEqual(text, TEXT);
      assert.throws(() => parseCheckpoint(text), AuditFormatError);
    });
  }
});

describe('AUD-16: a checkpoint', () => {
  test('of this log under its key is opened', () => {
    const opened = openCheckpoint(log.checkpoint(), trust);
    assert.deepEqual(opened.outcome === 'verified' && opened.checkpoint, checkpoint);
  });

  test('of another origin is refused, whoever signed it', () => {
    const elsewhere = signCheckpoint({ ...checkpoint, origin: 'example.com/other' }, [signer]);
    assert.equal(openCheckpoint(elsewhere, trust).outcome, 'wrong-origin');
  });

  test('under another key of the same name is refused', () => {
    assert.equal(openCheckpoint(log.checkpoint(20, [other]), trust).outcome, 'wrong-key');
  });

  test('under the key of another name is refused, though the reader knows that key', () => {
    const elsewhere = newSigningKey('example.com/other');
    const note = log.checkpoint(20, [elsewhere]);
    assert.equal(openCheckpoint(note, { ...trust, keys: [elsewhere.key] }).outcome, 'wrong-key');
  });

  test('with the key id of one key and the signature of another is refused', () => {
    const [signature] = parseSignedNote(log.checkpoint(20, [other])).signatures;
    assert.ok(signature);
    const note = `${TEXT}\n`.concat(
      `— ${ORIGIN} ${Buffer.concat([Buffer.from(signer.key.keyId, 'hex'), signature.signature]).toString('base64')}\n`,
    );
    assert.equal(openCheckpoint(note, trust).outcome, 'bad-signature');
  });

  test('with further signatures of strangers is opened, with malformed lines it is not', () => {
    assert.equal(openCheckpoint(log.checkpoint(20, [other, signer]), trust).outcome, 'verified');
    assert.equal(openCheckpoint(`${log.checkpoint()}— ${ORIGIN} !\n`, trust).outcome, 'malformed');
    assert.equal(openCheckpoint(`${log.checkpoint()}\n`, trust).outcome, 'malformed');
  });

  test('signed by a witness only is refused', () => {
    const note = addSignatures(log.checkpoint(20, [other]), [
      cosignNote(TEXT, { signer: witness, timestampSeconds: 1 }),
    ]);
    assert.equal(openCheckpoint(note, { ...trust, witnesses: [witness.key] }).outcome, 'wrong-key');
  });

  test('whose signature is that of another size is refused', () => {
    const moved = log.checkpoint(20).replace(`\n20\n`, `\n19\n`);
    assert.equal(openCheckpoint(moved, trust).outcome, 'bad-signature');
  });

  test('of an empty tree has the one root of an empty tree', () => {
    const empty = { origin: ORIGIN, size: 0, root: EMPTY_ROOT };
    assert.equal(openCheckpoint(signCheckpoint(empty, [signer]), trust).outcome, 'verified');
    const wrong = { ...empty, root: checkpoint.root };
    assert.equal(openCheckpoint(signCheckpoint(wrong, [signer]), trust).outcome, 'malformed');
  });

  test('with an extension line is refused even when it is signed', () => {
    assert.equal(openCheckpoint(signNote(`${TEXT}more\n`, [signer]), trust).outcome, 'malformed');
  });
});

describe('A proof that can be kept', () => {
  const leaf = (index: number) => log.leaves[index] ?? EMPTY_ROOT;
  const proof = { index: 7, proof: log.inclusion(7), checkpoint: log.checkpoint() };
  const text = formatLogProof(proof);

  test('is read as it was written', () => {
    assert.deepEqual(parseLogProof(text), proof);
    const withExtra = { ...proof, extra: Buffer.from('a hint') };
    assert.deepEqual(parseLogProof(formatLogProof(withExtra)), withExtra);
    assert.match(text, /^c2sp\.org\/tlog-proof@v1\nindex 7\n/);
  });

  test('of a log of one entry has no hashes', () => {
    const single = createSampleLog(sampleEntries(1), signer);
    const only = { index: 0, proof: [], checkpoint: single.checkpoint() };
    assert.deepEqual(parseLogProof(formatLogProof(only)), only);
    const [first = EMPTY_ROOT] = single.leaves;
    assert.equal(verifyLogProof(only, { ...trust, leaf: first }).outcome, 'verified');
  });

  test('AUD-14: proves its own entry and no other', () => {
    const verified = verifyLogProof(parseLogProof(text), { ...trust, leaf: leaf(7) });
    assert.deepEqual(verified, { outcome: 'verified', index: 7, size: 20, signers: [{ key: signer.key }] });
    assert.equal(verifyLogProof(proof, { ...trust, leaf: leaf(8) }).outcome, 'not-included');
    assert.equal(verifyLogProof({ ...proof, index: 6 }, { ...trust, leaf: leaf(7) }).outcome, 'not-included');
    assert.equal(
      verifyLogProof({ ...proof, index: 20 }, { ...trust, leaf: leaf(7) }).outcome,
      'not-included',
    );
  });

  test('AUD-14: proves nothing in a tree of another size, nor under the key of another log', () => {
    const smaller = { ...proof, checkpoint: log.checkpoint(19) };
    assert.equal(verifyLogProof(smaller, { ...trust, leaf: leaf(7) }).outcome, 'not-included');
    const foreign = newSigningKey('example.com/other');
    const ofOther = createSampleLog(sampleEntries(20), foreign).checkpoint();
    const trustsBoth = { ...trust, keys: [signer.key, foreign.key], leaf: leaf(7) };
    assert.equal(verifyLogProof({ ...proof, checkpoint: ofOther }, trustsBoth).outcome, 'wrong-origin');
    assert.equal(verifyLogProof(proof, { ...trustsBoth, keys: [other.key] }).outcome, 'wrong-key');
  });

  for (const [name, forged] of [
    ['another version', text.replace('@v1', '@v2')],
    ['no index', text.replace('index 7\n', '')],
    ['a leading zero', text.replace('index 7', 'index 07')],
    ['two spaces', text.replace('index 7', 'index  7')],
    ['an empty extra', text.replace('index 7', 'extra \nindex 7')],
    ['an extra behind its index', text.replace('index 7\n', 'index 7\nextra AAAA\n')],
    ['a hash cut short', text.replace('=\n', '\n')],
    ['64 hashes', formatLogProof({ ...proof, proof: Array.from({ length: 64 }, () => checkpoint.root) })],
    ['CRLF', text.replaceAll('\n', '\r\n')],
    ['no checkpoint', text.slice(0, text.indexOf('\n\n'))],
    ['no end', text + 'a'.repeat(300_000)],
  ] as const) {
    test(`with ${name} is refused`, () => assert.throws(() => parseLogProof(forged), AuditFormatError));
  }
});
