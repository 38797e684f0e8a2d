import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import { EMPTY_ROOT } from '../../src/audit/merkle-tree.ts';
import { openNote, parseSignedNote } from '../../src/audit/signed-note.ts';
import type { TreeHead } from '../../src/audit/trusted-log.ts';
import {
  type AddCheckpoint,
  decideAddCheckpoint,
  formatAddCheckpoint,
  formatCosignature,
  MAX_ADD_CHECKPOINT_BYTES,
  parseAddCheckpoint,
  type WitnessDecision,
  type WitnessedLog,
} from '../../src/audit/witness.ts';
import { createSampleLog, newSigningKey, ORIGIN, sampleEntries } from './sample-log.ts';

const signer = newSigningKey();
const stranger = newSigningKey();
const witness = newSigningKey('witness.example.com/w1', 'witness');
const log = createSampleLog(sampleEntries(40), signer);
const fork = createSampleLog(sampleEntries(80).slice(40), signer);

const request = (oldSize: number, size: number): AddCheckpoint => ({
  oldSize,
  proof: log.consistency(oldSize, size),
  checkpoint: log.checkpoint(size),
});

function decide(change: Partial<AddCheckpoint> & { latest?: TreeHead | null } = {}): WitnessDecision {
  const { latest = { size: 20, root: log.rootAt(20) }, ...rest } = change;
  const known = (origin: string): WitnessedLog | null =>
    origin === ORIGIN ? { keys: [signer.key], latest } : null;
  return decideAddCheckpoint(formatAddCheckpoint({ ...request(20, 30), ...rest }), known);
}

describe('A witness', () => {
  test('WIT-02: takes what continues the checkpoint that it cosigned last', () => {
    const decision = decide();
    assert.equal(decision.status, 200);
    assert.equal(decision.status === 200 && decision.checkpoint.size, 30);
  });

  test('WIT-02: takes the first checkpoint of a log, of any size, without a proof', () => {
    assert.equal(decide({ ...request(0, 30), latest: null }).status, 200);
    const empty = signCheckpoint({ origin: ORIGIN, size: 0, root: EMPTY_ROOT }, [signer]);
    assert.equal(decide({ oldSize: 0, proof: [], checkpoint: empty, latest: null }).status, 200);
  });

  test('WIT-02: takes the same checkpoint once more', () => {
    assert.equal(decide(request(20, 20)).status, 200);
  });

  test('WIT-02: 404 for a log that it does not know', () => {
    const checkpoint = signCheckpoint({ origin: 'example.com/a', size: 30, root: log.rootAt(30) }, [signer]);
    assert.equal(decide({ checkpoint }).status, 404);
  });

  test('WIT-02: 403 without a signature of a known key, and with a bad one', () => {
    assert.equal(decide({ checkpoint: log.checkpoint(30, [stranger]) }).status, 403);
    assert.equal(decide({ checkpoint: log.checkpoint(30).replace('\n30\n', '\n31\n') }).status, 403);
    assert.equal(decide({ checkpoint: log.checkpoint(30, [stranger, signer]) }).status, 200);
  });

  test('WIT-02: 400 when the old size is larger than the new one', () => {
    assert.equal(decide({ oldSize: 31, proof: [] }).status, 400);
  });

  test('WIT-02: 409 with the size that it knows, when the sender thinks of another', () => {
    for (const oldSize of [0, 19, 21]) {
      const { proof } = request(oldSize, 30);
      assert.deepEqual(decide({ oldSize, proof }), {
        status: 409,
        why: 'another checkpoint was cosigned last',
        latestSize: 20,
      });
    }
    const decision = decide({ latest: null });
    assert.equal(decision.status === 409 && decision.latestSize, 0);
  });

  test('WIT-02: 409 for the slower of two requests, once the faster one has been kept', () => {
    const latest = { size: 40, root: log.rootAt(40) };
    assert.equal(decide({ ...request(20, 40) }).status, 200);
    assert.equal(decide({ ...request(20, 30), latest }).status, 409);
  });

  for (const [name, change] of [
    ['a proof that does not verify', { proof: fork.consistency(20, 30) }],
    ['no proof', { proof: [] }],
    ['a fork', { ...request(20, 30), checkpoint: fork.checkpoint(30), proof: fork.consistency(20, 30) }],
    ['another root for the same size', { oldSize: 20, proof: [], checkpoint: fork.checkpoint(20) }],
    ['a proof between equal sizes', { oldSize: 20, proof: [log.rootAt(20)], checkpoint: log.checkpoint(20) }],
    ['a proof from nothing', { oldSize: 0, proof: [log.rootAt(20)], latest: null }],
    [
      'an empty tree with another root',
      {
        oldSize: 0,
        proof: [],
        latest: null,
        checkpoint: signCheckpoint({ origin: ORIGIN, size: 0, root: log.rootAt(3) }, [signer]),
      },
    ],
  ] as const) {
    test(`WIT-02: 422 for ${name}`, () => assert.equal(decide(change).status, 422));
  }

  const good = formatAddCheckpoint(request(20, 30));
  for (const [name, body] of [
    ['no old size', good.replace('old 20\n', '')],
    ['a leading zero', good.replace('old 20', 'old 020')],
    ['two spaces', good.replace('old 20', 'old  20')],
    ['a negative size', good.replace('old 20', 'old -1')],
    ['CRLF', good.replaceAll('\n', '\r\n')],
    ['a hash cut short', good.replace('=\n', '\n')],
    ['no empty line', good.replace('\n\n', '\n')],
    [
      '64 hashes',
      formatAddCheckpoint({ ...request(20, 30), proof: Array.from({ length: 64 }, () => EMPTY_ROOT) }),
    ],
    ['an extension line', good.replace('\n\n— ', '\nmore\n\n— ')],
    ['no signature', good.slice(0, good.lastIndexOf('— '))],
    ['too many bytes', good + 'a'.repeat(MAX_ADD_CHECKPOINT_BYTES)],
    ['bytes that are not UTF-8', Buffer.concat([Buffer.from(good), Buffer.of(0xff)])],
    ['nothing', ''],
  ] as const) {
    test(`WIT-01: 400 for a request with ${name}`, () => {
      const decision = decideAddCheckpoint(body, () => ({ keys: [signer.key], latest: null }));
      assert.equal(decision.status, 400);
    });
  }

  test('WIT-01: a request is read as it was written', () => {
    const sent = request(20, 30);
    assert.deepEqual(parseAddCheckpoint(formatAddCheckpoint(sent)), sent);
    assert.match(good, /^old 20\n/);
    assert.throws(() => parseAddCheckpoint('old 1\n'), AuditFormatError);
  });

  test('COS-01: answers with a line that makes the note one with its signature', () => {
    const decision = decide();
    assert.ok(decision.status === 200);
    const line = formatCosignature(decision.text, { signer: witness, timestampSeconds: 1_700_000_000 });
    const opened = openNote(parseSignedNote(`${decision.note}${line}`), [witness.key]);
    assert.deepEqual(opened.outcome === 'verified' && opened.signers, [
      { key: witness.key, timestampSeconds: 1_700_000_000 },
    ]);
  });
});
