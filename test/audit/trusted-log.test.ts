import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import { AuditFormatError } from '../../src/audit/format-error.ts';
import { formatHandOver, openHandOver, parseHandOver, signHandOver } from '../../src/audit/hand-over.ts';
import {
  type Judgement,
  judgeCheckpoint,
  type Offer,
  type TrustPolicy,
} from '../../src/audit/judge-checkpoint.ts';
import { subtreesOf } from '../../src/audit/merkle-tree.ts';
import { formatHash } from '../../src/audit/note-text.ts';
import { cosignNote, type SigningKey, signNote } from '../../src/audit/sign-note.ts';
import { parseSignedNote } from '../../src/audit/signed-note.ts';
import { pinLog, type TrustedLog } from '../../src/audit/trusted-log.ts';
import { formatTrustedLog, parseTrustedLog } from '../../src/audit/trusted-log-file.ts';
import { addSignatures } from './add-signatures.ts';
import { createSampleLog, newSigningKey, ORIGIN, sampleEntries } from './sample-log.ts';

const first = newSigningKey();
const second = newSigningKey();
const third = newSigningKey();
const stranger = newSigningKey();
const entries = sampleEntries(60);
const log = createSampleLog(entries, first);
/** The same up to entry 29, and another history after it. */
const fork = createSampleLog([...entries.slice(0, 30), ...sampleEntries(90).slice(60)], first);
const fresh = pinLog(first.key.vkey);

function accepted(trusted: TrustedLog, offer: Offer, policy?: TrustPolicy): TrustedLog {
  const judgement = judgeCheckpoint(trusted, offer, policy);
  assert.equal(judgement.outcome, 'accepted', JSON.stringify(judgement));
  return judgement.outcome === 'accepted' ? judgement.trusted : trusted;
}

const outcomeOf = (trusted: TrustedLog, offer: Offer, policy?: TrustPolicy): Judgement['outcome'] =>
  judgeCheckpoint(trusted, offer, policy).outcome;

const seen20 = accepted(fresh, { checkpoint: log.checkpoint(20) });

describe('A reader who has pinned the key of a log', () => {
  test('takes its first checkpoint and remembers it', () => {
    assert.equal(seen20.newest?.size, 20);
    assert.deepEqual(seen20.newest?.root, log.rootAt(20));
    assert.equal(fresh.newest, null, 'the memory before stays as it was');
  });

  test('takes one that continues it, and the same once more', () => {
    const next = accepted(seen20, { checkpoint: log.checkpoint(50), consistency: log.consistency(20, 50) });
    assert.equal(next.newest?.size, 50);
    assert.equal(accepted(next, { checkpoint: log.checkpoint(50) }).newest?.size, 50);
  });

  test('needs the proof before he says anything', () => {
    assert.deepEqual(judgeCheckpoint(seen20, { checkpoint: log.checkpoint(50) }), {
      outcome: 'proof-needed',
      from: 20,
      to: 50,
    });
  });

  test('AUD-16: sees that the log is smaller than it was', () => {
    const judgement = judgeCheckpoint(seen20, { checkpoint: log.checkpoint(19), consistency: [] });
    assert.equal(judgement.outcome, 'rollback');
    assert.equal(judgement.outcome === 'rollback' && judgement.seen.size, 20);
  });

  test('AUD-16: sees another root for the same size, and has both notes to show', () => {
    const seen = accepted(fresh, { checkpoint: log.checkpoint(40) });
    const offered = fork.checkpoint(40);
    assert.deepEqual(judgeCheckpoint(seen, { checkpoint: offered }), {
      outcome: 'split-view',
      size: 40,
      seen: log.checkpoint(40),
      offered,
    });
  });

  test('takes a fork as long as it agrees with what he saw, and no proof of the other side', () => {
    accepted(seen20, { checkpoint: fork.checkpoint(50), consistency: fork.consistency(20, 50) });
    const seen40 = accepted(fresh, { checkpoint: log.checkpoint(40) });
    for (const consistency of [fork.consistency(40, 50), log.consistency(40, 50), []]) {
      assert.equal(outcomeOf(seen40, { checkpoint: fork.checkpoint(50), consistency }), 'not-consistent');
    }
  });

  test('AUD-16: takes no other origin, no other key, no bad signature and nothing malformed', () => {
    const elsewhere = signCheckpoint({ origin: 'example.com/a', size: 20, root: log.rootAt(20) }, [first]);
    assert.equal(outcomeOf(fresh, { checkpoint: elsewhere }), 'wrong-origin');
    assert.equal(outcomeOf(fresh, { checkpoint: log.checkpoint(20, [stranger]) }), 'wrong-key');
    const moved = log.checkpoint(20).replace('\n20\n', '\n21\n');
    assert.equal(outcomeOf(fresh, { checkpoint: moved }), 'bad-signature');
    assert.equal(outcomeOf(fresh, { checkpoint: 'a text' }), 'malformed');
  });

  test('takes an archived checkpoint only when asked to, and forgets nothing for it', () => {
    const archived = { checkpoint: log.checkpoint(10) };
    assert.equal(outcomeOf(seen20, archived), 'rollback');
    assert.deepEqual(accepted(seen20, archived, { allowOlder: true }), seen20);
    const split = { checkpoint: fork.checkpoint(40) };
    const seen40 = accepted(fresh, { checkpoint: log.checkpoint(40) });
    assert.equal(outcomeOf(seen40, split, { allowOlder: true }), 'split-view');
  });
});

describe('A reader who asks for witnesses', () => {
  const witness = newSigningKey('witness.example.com/w1', 'witness');
  const sameWitness = newSigningKey('witness.example.com/w1', 'witness');
  const policy = { witnesses: [witness.key, sameWitness.key], quorum: 1 };
  const cosigned = (signers: readonly SigningKey[]) => {
    const note = log.checkpoint(20);
    const { text } = parseSignedNote(note);
    return addSignatures(
      note,
      signers.map((signer) => cosignNote(text, { signer, timestampSeconds: 7 })),
    );
  };

  test('takes what enough of them have cosigned', () => {
    const judgement = judgeCheckpoint(fresh, { checkpoint: cosigned([witness]) }, policy);
    assert.deepEqual(judgement.outcome === 'accepted' && judgement.cosigners, [
      { key: witness.key, timestampSeconds: 7 },
    ]);
  });

  test('takes nothing else; two keys of one witness are one', () => {
    assert.equal(outcomeOf(fresh, { checkpoint: log.checkpoint(20) }, policy), 'too-few-witnesses');
    const twice = { checkpoint: cosigned([witness, sameWitness]) };
    assert.equal(outcomeOf(fresh, twice, { ...policy, quorum: 2 }), 'too-few-witnesses');
    const asLog = { checkpoint: log.checkpoint(20, [first, stranger]) };
    assert.equal(outcomeOf(fresh, asLog, { witnesses: [stranger.key], quorum: 1 }), 'too-few-witnesses');
  });
});

describe('A hand-over', () => {
  const tree = { origin: ORIGIN, size: 30, root: log.rootAt(30) };
  const note = signHandOver(tree, { from: first, to: second });

  test('is read as it was written, and cannot be taken for a checkpoint', () => {
    const { text } = parseSignedNote(note);
    assert.deepEqual(parseHandOver(text), { ...tree, newKey: second.key });
    assert.equal(text, `${ORIGIN}\nhand-over\n30\n${formatHash(tree.root)}\n${second.key.vkey}\n`);
    assert.equal(outcomeOf(fresh, { checkpoint: note }), 'malformed');
    const asHandOver = openHandOver(log.checkpoint(), { origin: ORIGIN, oldKey: first.key });
    assert.equal(asHandOver.outcome, 'malformed');
  });

  test('counts only with the signatures of both keys', () => {
    const text = formatHandOver({ ...tree, newKey: second.key });
    const open = (signers: readonly SigningKey[]) =>
      openHandOver(signNote(text, signers), { origin: ORIGIN, oldKey: first.key }).outcome;
    assert.equal(open([first, second]), 'verified');
    assert.equal(open([second, stranger, first]), 'verified');
    assert.equal(open([first]), 'wrong-key');
    assert.equal(open([second]), 'wrong-key');
    assert.equal(open([stranger, second]), 'wrong-key');
    const toItself = signHandOver(tree, { from: first, to: first });
    assert.equal(openHandOver(toItself, { origin: ORIGIN, oldKey: first.key }).outcome, 'wrong-key');
    const elsewhere = signNote(text.replace('\n30\n', '\n31\n'), [first, second]);
    const [, good = ''] = note.split('\n\n');
    const forged = `${parseSignedNote(elsewhere).text}\n${good}`;
    assert.equal(openHandOver(forged, { origin: ORIGIN, oldKey: first.key }).outcome, 'bad-signature');
  });

  for (const [name, change] of [
    [
      'a key of another log',
      (text: string) => text.replace(second.key.vkey, newSigningKey('example.com/a').key.vkey),
    ],
    [
      'the key of a witness',
      (text: string) => text.replace(second.key.vkey, newSigningKey(ORIGIN, 'witness').key.vkey),
    ],
    ['a leading zero', (text: string) => text.replace('\n30\n', '\n030\n')],
    ['a line more', (text: string) => `${text}more\n`],
    ['another word', (text: string) => text.replace('hand-over', 'handover')],
  ] as const) {
    test(`with ${name} is refused`, () => {
      const text = change(parseSignedNote(note).text);
      assert.throws(() => parseHandOver(text), AuditFormatError);
    });
  }
});

describe('AUD-20: a reader, when the log changes its key at entry 30', () => {
  const handOver = (size = 30, keys = { from: first, to: second }) => log.handOver(size, keys);
  const offer = (size: number, signer: SigningKey, more: Partial<Offer> = {}): Offer => ({
    checkpoint: log.checkpoint(size, [signer]),
    consistency: size > 20 ? log.consistency(20, size) : [],
    handOvers: [{ note: handOver(), consistency: size > 30 ? log.consistency(30, size) : [] }],
    ...more,
  });
  const after = accepted(seen20, offer(50, second));

  test('follows the hand-over and takes the new key from then on', () => {
    assert.deepEqual(
      after.terms.map(({ key, from, until }) => [key.keyId, from, until?.size]),
      [
        [first.key.keyId, 0, 30],
        [second.key.keyId, 30, undefined],
      ],
    );
    const next = { checkpoint: log.checkpoint(60, [second]), consistency: log.consistency(50, 60) };
    assert.equal(accepted(after, next).newest?.size, 60);
  });

  test('follows it without having seen anything before, and takes it again without harm', () => {
    const unseen = accepted(fresh, offer(50, second));
    assert.deepEqual(unseen.terms, after.terms);
    assert.deepEqual(accepted(after, offer(50, second, { consistency: [] })).terms, after.terms);
  });

  test('takes both keys, together or alone, at the size of the hand-over', () => {
    assert.equal(outcomeOf(seen20, offer(30, first)), 'accepted');
    assert.equal(outcomeOf(seen20, offer(30, second)), 'accepted');
    assert.equal(
      outcomeOf(seen20, { ...offer(50, second), checkpoint: log.checkpoint(50, [first, second]) }),
      'accepted',
    );
    const terms = after.terms.map(({ key, from, until }) => [key.vkey, from, until?.size]);
    assert.deepEqual(terms, [
      [first.key.vkey, 0, 30],
      [second.key.vkey, 30, undefined],
    ]);
  });

  test('takes the old key for no larger tree, and the new key for no smaller one', () => {
    const judgement = judgeCheckpoint(seen20, offer(50, first));
    assert.deepEqual(judgement, { outcome: 'after-hand-over', key: first.key, boundary: 30, size: 50 });
    const later = { checkpoint: log.checkpoint(60, [first]), consistency: log.consistency(50, 60) };
    assert.equal(outcomeOf(after, later), 'after-hand-over');
    assert.equal(
      outcomeOf(after, { checkpoint: log.checkpoint(25, [second]) }, { allowOlder: true }),
      'before-hand-over',
    );
    assert.equal(
      outcomeOf(after, { checkpoint: log.checkpoint(25, [first]) }, { allowOlder: true }),
      'accepted',
    );
  });

  test('takes no new key without a hand-over, and none from a stranger', () => {
    assert.equal(outcomeOf(seen20, offer(50, second, { handOvers: [] })), 'wrong-key');
    const forged = [{ note: handOver(30, { from: stranger, to: second }), consistency: [] }];
    assert.equal(outcomeOf(seen20, offer(50, second, { handOvers: forged })), 'bad-hand-over');
  });

  test("takes no second hand-over from a key that is no longer the log's", () => {
    const again = [
      { note: handOver(50, { from: first, to: stranger }), consistency: log.consistency(50, 60) },
    ];
    const offered = { checkpoint: log.checkpoint(60, [stranger]), handOvers: again, consistency: [] };
    assert.equal(outcomeOf(after, offered), 'bad-hand-over');
  });

  test('takes no hand-over below what the old key has signed already', () => {
    const seen40 = accepted(fresh, { checkpoint: log.checkpoint(40) });
    const offered = { ...offer(50, second), consistency: log.consistency(40, 50) };
    assert.equal(outcomeOf(seen40, offered), 'bad-hand-over');
  });

  test('sees a hand-over in a history that is not his, and one beyond the checkpoint', () => {
    const foreign = fork.handOver(40, { from: first, to: second });
    const forked = {
      ...offer(50, second),
      handOvers: [{ note: foreign, consistency: log.consistency(40, 50) }],
    };
    assert.equal(outcomeOf(seen20, forked), 'not-consistent');
    const atOnce = { ...offer(40, second), handOvers: [{ note: foreign, consistency: [] }] };
    assert.equal(outcomeOf(seen20, atOnce), 'split-view');
    const beyond = { ...offer(25, first), handOvers: [{ note: handOver(30), consistency: [] }] };
    assert.equal(outcomeOf(seen20, beyond), 'rollback');
  });

  test('follows several in a row, in their order only, and no way back', () => {
    const one = { note: handOver(), consistency: log.consistency(30, 60) };
    const two = { note: handOver(45, { from: second, to: third }), consistency: log.consistency(45, 60) };
    const back = { note: handOver(50, { from: third, to: first }), consistency: log.consistency(50, 60) };
    const offered = offer(60, third, { handOvers: [one, two] });
    assert.equal(accepted(seen20, offered).terms.length, 3);
    assert.equal(
      accepted(after, {
        ...offered,
        consistency: log.consistency(50, 60),
        handOvers: [
          one,
          { ...two, note: handOver(50, { from: second, to: third }), consistency: log.consistency(50, 60) },
        ],
      }).terms.length,
      3,
    );
    assert.equal(outcomeOf(seen20, { ...offered, handOvers: [two, one] }), 'bad-hand-over');
    assert.equal(outcomeOf(seen20, { ...offered, handOvers: [one, two, back] }), 'bad-hand-over');
  });
});

describe('The memory of a reader', () => {
  const full = accepted(seen20, {
    checkpoint: log.checkpoint(50, [second]),
    consistency: log.consistency(20, 50),
    handOvers: [
      { note: log.handOver(30, { from: first, to: second }), consistency: log.consistency(30, 50) },
    ],
  });

  test('is the same after it was written and read', () => {
    for (const trusted of [fresh, seen20, full]) {
      const text = formatTrustedLog(trusted);
      assert.equal(formatTrustedLog(parseTrustedLog(text)), text);
      assert.equal(parseTrustedLog(text).newest?.size, trusted.newest?.size);
    }
    const later = { checkpoint: log.checkpoint(60, [second]), consistency: log.consistency(50, 60) };
    assert.equal(outcomeOf(parseTrustedLog(formatTrustedLog(full)), later), 'accepted');
  });

  test('may hold the subtrees of the tree that was seen, and no others', () => {
    const subtrees = subtreesOf(0, 50).map(log.read);
    const seen = { ...full, newest: full.newest && { ...full.newest, subtrees } };
    assert.deepEqual(parseTrustedLog(formatTrustedLog(seen)).newest?.subtrees, subtrees);
    for (const others of [
      [],
      subtrees.slice(1),
      subtrees.toReversed(),
      [...subtrees, ...subtrees.slice(0, 1)],
    ]) {
      const text = formatTrustedLog({ ...full, newest: full.newest && { ...full.newest, subtrees: others } });
      assert.throws(() => parseTrustedLog(text), AuditFormatError);
    }
  });

  for (const [name, change] of [
    ['a gap between its keys', (text: string) => text.replace('"from": 30', '"from": 31')],
    ['another origin', (text: string) => text.replace(`"origin": "${ORIGIN}"`, '"origin": "example.com"')],
    ['a broken key', (text: string) => text.replace(first.key.keyId, '00000000')],
    ['no keys', (text: string) => text.replace(/"keys": \[[^\]]*\]/, '"keys": []')],
    ['a member too many', (text: string) => text.replace('{', '{ "more": 1,')],
    ['another format', (text: string) => text.replace('-v1', '-v2')],
    ['half of it', (text: string) => text.slice(0, text.length / 2)],
  ] as const) {
    test(`with ${name} is refused`, () => {
      const text = change(formatTrustedLog(full));
      assert.notEqual(text, formatTrustedLog(full));
      assert.throws(() => parseTrustedLog(text), AuditFormatError);
    });
  }
});
