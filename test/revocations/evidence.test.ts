/* What verifiers hand back is believed under the ledger's keys, and means no more than it says. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { parseVerificationKey } from '../../src/jws/jwk.ts';
import { EvidenceError, readEvidence } from '../../src/revocations/evidence.ts';
import type { LedgerEntry } from '../../src/revocations/ledger-entry.ts';
import { LEASE_TYPE, LEDGER_PAGE_TYPE, signMessage } from '../../src/revocations/ledger-message.ts';

const ISSUER = 'https://broker.example.com';
const { privateKey } = generateKeyPairSync('ed25519');
const key = parseVerificationKey(createPublicKey(privateKey).export({ format: 'jwk' }));
const keys = new Map([['k', { key, isRevoked: false }]]);

const digestOf = (text: string) => text.padStart(43, '0');

function entry(epoch: number, more: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    epoch,
    digest: digestOf(String(epoch)),
    kind: 'agent',
    target: 'report-writer',
    standing: true,
    releases: null,
    released_epoch: null,
    ...more,
  };
}

function pageOf(entries: LedgerEntry[], generation = 1) {
  const head = { epoch: 99, digest: digestOf('99') };
  return { generation, snapshot: false, floor: 0, since: 0, since_digest: null, through: 99, head, entries };
}

type Said = { iss?: string; iat?: number; generation?: number };

function line(entries: LedgerEntry[], { iss = ISSUER, iat = 1_000, generation }: Said = {}): string {
  const payload = { iss, iat, page: pageOf(entries, generation) };
  return signMessage(LEDGER_PAGE_TYPE, payload, { kid: 'k', privateKey });
}

const read = (...lines: string[]) => readEvidence(lines.join('\n'), { issuer: ISSUER, keys });

const told = (...lines: string[]) => read(...lines).map(({ epoch, isReleased }) => [epoch, isReleased]);

test('pages and leases tell the same, once, with the newest generation and the earliest time', () => {
  const lease = {
    iss: ISSUER,
    iat: 900,
    instance: 'ver_01k5h0m2v3x8q6d0w9r7t4y1zb',
    nonce: 'n'.repeat(22),
    page: pageOf([entry(1), entry(2)], 2),
    leases: { LOW: 300, MED: 30, HIGH: 3 },
  };
  const lines = [
    line([entry(1)]),
    signMessage(LEASE_TYPE, lease, { kid: 'k', privateKey }),
    '',
    line([entry(2)]),
  ];
  const entries = read(...lines).map(({ epoch, generation, saidAt }) => ({ epoch, generation, saidAt }));
  assert.deepEqual(entries, [
    { epoch: 1, generation: 2, saidAt: 900 },
    { epoch: 2, generation: 2, saidAt: 900 },
  ]);
});

test('a release counts wherever it is told, and is no entry itself', () => {
  const release = entry(5, { standing: false, releases: 1 });
  assert.deepEqual(told(line([release]), line([entry(1), entry(2)])), [
    [1, true],
    [2, false],
  ]);
  assert.deepEqual(told(line([entry(1)]), line([entry(1, { released_epoch: 7 })])), [[1, true]]);
});

test('of two kills at one epoch, in two ledgers, neither counts as released', () => {
  const other = entry(1, { digest: digestOf('other'), target: 'billing-runner' });
  const release = entry(5, { standing: false, releases: 1 });
  assert.deepEqual(told(line([entry(1)]), line([other]), line([release])), [
    [1, false],
    [1, false],
  ]);
});

test('one line that cannot be believed is named, and spoils the rest', () => {
  const good = line([entry(1)]);
  const [header, payload, signature = ''] = good.split('.');
  const cases: [string, RegExp][] = [
    [line([entry(1)], { iss: 'https://evil.example.com' }), /^Line 2 is of "https:\/\/evil/],
    [`${header}.${payload}.${signature.slice(0, -4)}AAAA`, /^Line 2 was forged or damaged/],
    [`${header}.${line([entry(2)]).split('.')[1]}.${signature}`, /^Line 2 was forged or damaged/],
    [line([entry(1, { kind: 'all' })]), /^Line 2 was forged or damaged/],
    [`${header}.${payload}.`, /^Line 2 is not a signed message/],
    ['x'.repeat(3_000_000), /^Line 2 is not a signed message/],
  ];
  for (const [bad, message] of cases) {
    assert.throws(
      () => read(good, bad),
      (error) => error instanceof EvidenceError && message.test(error.message),
    );
  }
  const revoked = new Map([['k', { key, isRevoked: true }]]);
  assert.throws(() => readEvidence(good, { issuer: ISSUER, keys: revoked }), /which was revoked/);
  assert.throws(
    () => readEvidence(good, { issuer: ISSUER, keys: new Map() }),
    /no ledger key of this database/,
  );
  assert.throws(() => read('', ' '), /no line of evidence/);
});
