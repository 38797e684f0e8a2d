import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AUDIENCE, canonicalAudience } from '../../src/catalogue/audience.ts';
import type { Field } from '../../src/catalogue/fields.ts';
import { ACTION_NAME, KID, NAME, OWNER, TITLE } from '../../src/catalogue/names.ts';
import { printable, quoted } from '../../src/catalogue/problem.ts';
import { nearestName } from '../../src/errors/nearest-name.ts';

const BLNS: string[] = JSON.parse(
  readFileSync(new URL('../vectors/blns/blns.json', import.meta.url), 'utf8'),
);

const accepts = ({ schema }: Field<string>, value: unknown): boolean => schema.safeParse(value).success;

test('a name has one spelling, and what deviates is refused, not normalised', () => {
  for (const name of ['a', 'report-writer', 'a1-b2-c3', 'x'.repeat(64)]) assert.ok(accepts(NAME, name), name);
  const refused = [
    '',
    'A',
    'Report-writer',
    '1a',
    '-a',
    'a-',
    'a--b',
    'a_b',
    'a.b',
    'a/b',
    '..',
    'a..b',
    'a%2eb',
    'a b',
  ];
  const more = [
    'a:b',
    ' a',
    'a\n',
    'a\0',
    'ａ',
    'аgent',
    'é',
    'e\u0301',
    'x'.repeat(65),
    'mayfly',
    '*',
    7,
    null,
  ];
  for (const name of [...refused, ...more]) assert.ok(!accepts(NAME, name), String(name));
});

test('an action is exactly service:verb:resource', () => {
  assert.ok(accepts(ACTION_NAME, 'db:read:customers'));
  assert.ok(accepts(ACTION_NAME, `${'a'.repeat(32)}:b:c`));
  const refused = [
    'db:read',
    'db:read:customers:x',
    'db::customers',
    ':read:customers',
    'db:read:',
    'db:*:customers',
    '*',
  ];
  const more = [
    'db:read:../x',
    'db:read:a/b',
    'DB:read:customers',
    'db read customers',
    'db:read:customers ',
    'db:read:%63',
  ];
  const reserved = ['mayfly:revoke:sessions', `${'a'.repeat(33)}:b:c`, 'db:read:customers\n'];
  for (const name of [...refused, ...more, ...reserved]) assert.ok(!accepts(ACTION_NAME, name), name);
});

test('an audience is refused unless it is spelled as its canonical form', () => {
  const right = [
    'https://a.example',
    'https://a.example/b/c',
    'https://a.example:8443',
    'http://127.0.0.1:8420',
    'http://[::1]/x',
    'http://localhost',
  ];
  for (const url of right) assert.ok(accepts(AUDIENCE, url), url);
  const wrong = [
    'https://a.example/',
    'https://a.example/b/',
    'https://A.example',
    'HTTPS://a.example',
    'https://a.example:443',
    'http://a.example',
    'http://127.0.0.1.a.example',
    'https://u@a.example',
    'https://u:p@a.example',
    'https://@a.example',
    'https://a.example?',
    'https://a.example?x',
    'https://a.example#',
    'https://a.example#x',
    'https://a.example/b?x',
    'https://a.example/../b',
    'https://a.example/./b',
    'https://a.example//b',
    'https://a.example/%62',
    'https://a.example\\b',
    'https://a.example/b\n',
    ' https://a.example',
    'https:a.example',
    '//a.example',
    'a.example',
    'https://',
    'ftp://a.example',
    'https://ä.example',
    'https://a.example/ä',
    'https://0x7f.1',
    'http://127.1',
    'javascript:alert(1)',
    `https://a.example/${'b'.repeat(256)}`,
  ];
  for (const url of wrong) assert.ok(!accepts(AUDIENCE, url), url);
  assert.equal(canonicalAudience('https://A.example:443/b/'), 'https://a.example/b');
  assert.equal(canonicalAudience('https://u:p@a.example'), null);
});

test('naughty strings are no names, and no title that prints as something else', () => {
  const trouble = /[\p{C}\p{Zl}\p{Zp}]/u;
  for (const text of BLNS) {
    for (const field of [NAME, ACTION_NAME, OWNER, KID, AUDIENCE]) {
      if (accepts(field, text))
        assert.match(text, /^[A-Za-z0-9._~@+-]{1,128}$/, `${field.expected}: ${text}`);
    }
    if (accepts(TITLE, text)) assert.ok(!trouble.test(text), JSON.stringify(text));
    assert.ok(!trouble.test(quoted(text)) && !trouble.test(printable(text)), JSON.stringify(text));
  }
});

test('a near miss is recognised, and only a near one', () => {
  assert.equal(nearestName('sesion_seconds', ['agent', 'session_seconds', 'may']), 'session_seconds');
  assert.equal(nearestName('DB:READ:CUSTOMERS', ['db:read:customers']), 'db:read:customers');
  assert.equal(nearestName('colour', ['agent', 'session_seconds']), null);
  assert.equal(nearestName('x'.repeat(101), ['x'.repeat(100)]), null);
});
