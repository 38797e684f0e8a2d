import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainJson, plainText } from '../../src/cli/plain-text.ts';
import { sheet, table } from '../../src/cli/table.ts';
import { fc } from '../properties.ts';

const UNICODE = fc.string({ unit: 'binary' });
/** Everything that is no letter, mark, number, sign or space. */
const NOT_SHOWN = /[\p{C}\p{Zl}\p{Zp}]/u;

test('plain text is one line of characters that are shown', () => {
  fc.assert(
    fc.property(UNICODE, (text) => {
      assert.doesNotMatch(plainText(text), NOT_SHOWN);
    }),
  );
  assert.equal(plainText('a\u001b[31m\nb\u{e0001}'), 'a\\u{1b}[31m\\u{a}b\\u{e0001}');
  assert.equal(plainText('Zoë 名前 🙂'), 'Zoë 名前 🙂');
});

test('plain JSON means what it meant', () => {
  fc.assert(
    fc.property(fc.jsonValue(), UNICODE, fc.constantFrom(0, 2), (value, text, indent) => {
      const written = plainJson({ value, text }, { indent });
      assert.doesNotMatch(written.replaceAll('\n', ''), NOT_SHOWN);
      assert.deepEqual(JSON.parse(written), JSON.parse(JSON.stringify({ value, text })));
    }),
  );
});

test('a table is as wide as it has to be, and a cell is cut', () => {
  const rows = [
    { id: 'ses_1', state: 'active', target: { id: 'x' } },
    { id: 'ses_22', state: null, target: { id: 'y'.repeat(70) }, more: 'not shown' },
  ];
  assert.equal(
    table(['id', 'state', 'target.id', 'absent'], rows),
    [
      'id      state   target.id                                                         absent',
      'ses_1   active  x                                                                 -',
      `ses_22  -       ${'y'.repeat(63)}…  -`,
      '',
    ].join('\n'),
  );
  assert.equal(table(['id'], []), 'id\n');
});

test('a sheet has a line for each member, members of members too', () => {
  const thing = {
    id: 'rev_1',
    dry_run: false,
    target: { kind: 'agent', id: 'report-writer' },
    actions: ['db:read:customers', 'db:read:orders'],
    verifiers: [
      { instance: 'ver_1', applied_at: 'now', stops_at: null },
      { instance: 'ver_2', stops_at: 'later' },
    ],
    none: [],
    receipt: 'x'.repeat(200),
  };
  assert.equal(
    sheet(thing),
    [
      'id           rev_1',
      'dry_run      no',
      'target.kind  agent',
      'target.id    report-writer',
      'actions      db:read:customers db:read:orders',
      'verifiers 1  instance ver_1, applied_at now',
      'verifiers 2  instance ver_2, stops_at later',
      'none         -',
      `receipt      ${'x'.repeat(32)}… (200 characters; -o json)`,
      '',
    ].join('\n'),
  );
});
