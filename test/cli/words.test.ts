/** The sentences that commands say by themselves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wantsJson } from '../../src/cli/error-text.ts';
import { complaintAbout } from '../../src/cli/reason.ts';
import { growingTable } from '../../src/cli/table.ts';
import { outlookOf, verdictOf } from '../../src/cli/verdict.ts';
import { warningOf } from '../../src/cli/who-is-left.ts';
import { reasonSchema } from '../../src/operators/read-change.ts';
import { fc } from '../properties.ts';

test('a reason is complained about exactly when no broker would take it', () => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({ maxLength: 4 }).map((text) => ` ${text}`),
    fc.constantFrom(
      '',
      ' ',
      '\u2800',
      '\u3164',
      'a\u200db',
      'x'.repeat(500),
      'x'.repeat(501),
      'a\u2028b',
      '\ufeffa',
      'see eyJhbGciOiJFZERTQSJ9.eyJqdGkiOiIxIn0.c2ln',
      'see eyJhbGciOiJFZERTQSJ9 and more',
    ),
  );
  fc.assert(
    fc.property(texts, (text) =>
      assert.equal(complaintAbout(text) === null, reasonSchema.safeParse(text).success),
    ),
  );
});

test('a verdict says whether it is over, and until when it may not be', () => {
  const [applied, late] = [
    { applied_at: '2026-01-01T12:00:00.000Z' },
    { stops_at: '2026-01-01T12:34:56.789Z' },
  ];
  const settled = { complete: true, replicated: true, verifiers: [applied, applied] };
  assert.equal(
    verdictOf({ ...settled, effect: 'engaged', standing: true }),
    'Stopped: all 2 enforcement points have applied it or have stopped.',
  );
  assert.match(
    outlookOf({ ...settled, verifiers: [] }, 'Stopped'),
    /^Stopped: no enforcement point holds a lease now\. .*introspect/,
  );
  assert.equal(
    verdictOf({ complete: false, replicated: true, verifiers: [applied, late] }),
    'Not yet proved: it is in force, and 1 of 2 enforcement points did not say in time that they have applied it. ' +
      'Whoever has not applied it stops by itself, the last by 12:34:56Z.',
  );
  assert.match(outlookOf({ ...settled, replicated: false }, 'Stopped'), /The standby did not confirm it/);
  const live_until = '2026-01-01T12:05:00.000Z';
  assert.match(
    outlookOf({ ...settled, aws: { credentials: 2, live_until, roles: [] } }, 'Stopped'),
    / AWS takes at most 2 sets of credentials that were given before, the last until 2026-01-01T12:05:00\.000Z\.$/,
  );
  assert.doesNotMatch(outlookOf({ ...settled, aws: { credentials: 0, roles: [] } }, 'Stopped'), /AWS/);
  const toldOf = (deny: object) =>
    outlookOf(
      { ...settled, aws: { credentials: 1, live_until, roles: [{ role_arn: 'arn:r', deny }] } },
      'Stopped',
    );
  assert.doesNotMatch(toldOf({ state: 'none' }), /enied/);
  assert.match(toldOf({ state: 'wanted' }), /They will be denied on arn:r/);
  assert.match(toldOf({ state: 'failed', failed_at: live_until }), /could not be denied on arn:r by 2026/);
  assert.match(toldOf({ state: 'put', put_at: live_until }), /IAM took that by 2026.*promises no moment/);
  assert.match(verdictOf({ ...settled, standing: false, effect: 'revoked' }) ?? '', /^Revoked: /);
  assert.match(verdictOf({ effect: 'released', receipt: 'x' }) ?? '', /^Released: /);
  assert.equal(verdictOf({ dry_run: true, sessions: 1 }), null);
});

test('whoever stops one of the last two who can use the kill switch is told so', () => {
  const operator = (name: string, roles: string[], stopped_by: object[] = []) => ({
    id: `opr_${name}`,
    name,
    roles,
    stopped_by,
  });
  const two = [operator('olivia', ['security']), operator('omar', ['admin'])];
  assert.match(warningOf(two, 'omar') ?? '', /with omar stopped, only olivia is left/);
  assert.match(warningOf(two, 'opr_omar') ?? '', /only olivia is left/);
  assert.equal(warningOf(two, 'report-writer'), null);
  assert.match(warningOf([...two, operator('ada', ['auditor'])], 'omar') ?? '', /only olivia/);
  assert.match(warningOf([...two, operator('ada', ['admin'], [{}])], 'omar') ?? '', /only olivia/);
  assert.equal(warningOf([...two, operator('ada', ['admin'])], 'omar'), null);
  assert.match(warningOf([operator('omar', ['admin'])], 'omar') ?? '', /no operator is left/);
});

test('a table that grows has its header once', () => {
  const lineOf = growingTable(['id', 'state']);
  assert.equal(lineOf({ id: 'ses_1', state: 'open' }), 'id     state\nses_1  open\n');
  assert.equal(lineOf({ id: 'ses_22', state: 'open' }), 'ses_22  open\n');
  assert.equal(lineOf({ id: 's', state: 'revoked' }), 's       revoked\n');
});

test('JSON is asked for in any spelling of the option', () => {
  for (const line of ['x -o json', 'x -ojson', 'x --output jsonl', 'x --output=json'])
    assert.equal(wantsJson(line.split(' ')), true, line);
  for (const line of ['x', 'x -o table', 'json', 'x -- -o json', '-o'])
    assert.equal(wantsJson(line.split(' ')), false, line);
});
