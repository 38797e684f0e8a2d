import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fc } from '../properties.ts';
import { loadFiles, policyFiles, rulesOf, smallPolicy } from './policy-fixture.ts';

const BLNS: string[] = JSON.parse(
  readFileSync(new URL('../vectors/blns/blns.json', import.meta.url), 'utf8'),
);

/** Generous: a bound against quadratic and exponential time, not a measurement. */
const MAX_MILLISECONDS = 5_000;

/** The rules that the file of one agent breaks when it holds this text. */
async function rulesOfText(text: string | Buffer): Promise<string[]> {
  const loaded = await loadFiles({ ...policyFiles(smallPolicy()), 'agents/odd.yaml': text });
  return rulesOf({
    ...loaded,
    problems: loaded.problems.filter(({ file }) => file === 'scopes/agents/odd.yaml'),
  });
}

const AGENT = `agent: odd
title: Odd
owner: somebody
zone: analytics
development_key: true
session_seconds: 600
may: [db:read:customers]
`;

test('the text that the cases below start from is right', async () => {
  assert.deepEqual(await rulesOfText(AGENT), []);
  assert.deepEqual(await rulesOfText(AGENT.replaceAll('\n', '\r\n')), []);
  assert.deepEqual(await rulesOfText(`--- # one document may say where it starts\n${AGENT}`), []);
});

const REFUSED: [string, string | Buffer, string][] = [
  ['an anchor', AGENT.replace('title: Odd', 'title: &t Odd'), 'yaml-alias'],
  ['an alias', AGENT.replace('title: Odd', 'title: &t Odd').replace('somebody', '*t'), 'yaml-alias'],
  [
    'an alias as a key',
    AGENT.replace('title: Odd', '&t title: Odd').replace('owner:', '*t :'),
    'yaml-syntax',
  ],
  ['a merge key', `${AGENT}<<: { owner: other }\n`, 'unknown-key'],
  ['a tag of YAML', AGENT.replace('600', '!!int "600"'), 'yaml-tag'],
  ['a tag of somebody', AGENT.replace('Odd', '!env HOME'), 'yaml-tag'],
  ['a tag on a mapping', `!!map\n${AGENT}`, 'yaml-tag'],
  ['binary', AGENT.replace('Odd', '!!binary T2Rk'), 'yaml-tag'],
  ['YAML 1.1', `%YAML 1.1\n---\n${AGENT}`, 'yaml-directive'],
  ['YAML 1.2, said explicitly', `%YAML 1.2\n---\n${AGENT}`, 'yaml-directive'],
  ['a tag handle', `%TAG ! tag:example.com,2026:\n---\n${AGENT}`, 'yaml-directive'],
  ['two documents', `${AGENT}---\nagent: other\n`, 'yaml-syntax'],
  ['tabs as indentation', AGENT.replace('may:', 'keys:\n\t- a: b\nmay:'), 'yaml-syntax'],
  ['a key twice', `${AGENT}owner: other\n`, 'duplicate-key'],
  ['a key twice in two spellings', `${AGENT}"owner": other\n`, 'duplicate-key'],
  ['a key twice in flow', AGENT.replace('may:', 'keys: [{ kty: EC, kty: OKP }]\nmay:'), 'duplicate-key'],
  ['__proto__', `${AGENT}__proto__: { may: [] }\n`, 'forbidden-key'],
  ['constructor', `${AGENT}constructor: x\n`, 'unknown-key'],
  ['a mapping as a key', `${AGENT}? { a: b }\n: c\n`, 'yaml-syntax'],
  ['a byte order mark', `\ufeff${AGENT}`, 'control-character'],
  ['UTF-16', Buffer.from(AGENT, 'utf16le'), 'control-character'],
  ['bytes that are no UTF-8', Buffer.from([...Buffer.from(AGENT), 0x23, 0xc3, 0x28, 0x0a]), 'not-utf8'],
  ['a NUL', AGENT.replace('Odd', 'O\0d'), 'control-character'],
  ['an escaped NUL', AGENT.replace('Odd', '"O\\0d"'), 'control-character'],
  ['an escaped lone surrogate', AGENT.replace('Odd', '"\\ud800"'), 'control-character'],
  [
    'a lone carriage return that hides a line',
    AGENT.replace('# ', '').replace('may:', '# x\rmay:'),
    'control-character',
  ],
  ['a comment that reads backwards', `# \u202e nothing\n${AGENT}`, 'control-character'],
  ['infinity', AGENT.replace('600', '.inf'), 'inexact-number'],
  ['not a number', AGENT.replace('600', '.nan'), 'inexact-number'],
  ['text instead of a mapping', 'agent', 'invalid-value'],
  ['a list instead of a mapping', '- agent: odd\n', 'invalid-value'],
];

for (const [what, text, rule] of REFUSED) {
  test(`a policy file with ${what} is refused (${rule})`, async () => {
    const rules = await rulesOfText(text);
    assert.ok(rules.includes(rule), `${rules}`);
  });
}

test('an alias is reported where it stands, and so is its anchor', async () => {
  const text = AGENT.replace('title: Odd', 'title: &t Odd').replace('somebody', '*t');
  assert.deepEqual(await rulesOfText(text), ['yaml-alias', 'yaml-alias']);
});

test('the words that YAML 1.1 took for booleans stay words', async () => {
  for (const word of ['no', 'off', 'yes', 'y', 'NO']) {
    const rules = await rulesOfText(AGENT.replace('key: true', `key: ${word}`));
    assert.ok(rules.includes('invalid-value'), word);
  }
});

const KIBIBYTE = 1024;
const ALIAS_BOMB = `a: &a [x, x, x, x, x, x, x, x, x]\n${[...'bcdefghijk']
  .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[index]}`).join(', ')}]\n`)
  .join('')}`;

const HUGE: [string, string, string][] = [
  ['an alias bomb', ALIAS_BOMB, 'yaml-alias'],
  ['64 Ki opening brackets', '['.repeat(64 * KIBIBYTE), 'nested-too-deeply'],
  ['64 Ki opening braces', '{'.repeat(64 * KIBIBYTE), 'nested-too-deeply'],
  ['32 Ki nested lists', '- '.repeat(32 * KIBIBYTE), 'nested-too-deeply'],
  [
    'a mapping nested 300 deep',
    Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    'nested-too-deeply',
  ],
  [
    '12,000 keys',
    Array.from({ length: 12_000 }, (_, i) => `${i.toString(36)}:`).join('\n'),
    'too-many-problems',
  ],
  ['32 Ki errors', ']}'.repeat(32 * KIBIBYTE), 'too-many-problems'],
  ['a long run of quotes', '"'.repeat(64 * KIBIBYTE), 'too-many-problems'],
  ['one byte too much', `${AGENT}#${'x'.repeat(64 * KIBIBYTE - AGENT.length)}`, 'file-too-large'],
  ['a megabyte', 'x'.repeat(KIBIBYTE * KIBIBYTE), 'file-too-large'],
];

for (const [what, text, rule] of HUGE) {
  test(`${what} ends in bounded time, in a bounded report`, async () => {
    const start = performance.now();
    const rules = await rulesOfText(text);
    assert.ok(performance.now() - start < MAX_MILLISECONDS);
    assert.ok(rules.includes(rule), `${rules.slice(0, 5)}`);
    assert.ok(rules.length <= 101);
  });
}

test('a folder with too many files is refused, and none of them is read', async () => {
  const many = (folder: string, count: number): [string, string][] =>
    Array.from({ length: count }, (_, index) => [`${folder}/a${index}.yaml`, 'nonsense']);
  for (const files of [many('agents', 2_001), [...many('agents', 1_200), ...many('resources', 800)]]) {
    const loaded = await loadFiles({ 'zones.yaml': 'zones: {}', ...Object.fromEntries(files) });
    assert.deepEqual(new Set(rulesOf(loaded)), new Set(['too-many-files']));
    assert.equal(loaded.catalogue, null);
  }
});

test('a naughty string is refused as a name and printed without its tricks', async () => {
  const strings = BLNS.filter((text) => text !== '__proto__');
  for (let start = 0; start < strings.length; start += 10) {
    const policy = smallPolicy();
    for (const name of strings.slice(start, start + 10)) {
      policy.writer.may.push(name);
      policy.clerk.agent = name;
      policy.zones.zones[name] = { title: name, may_call: [name] };
      policy.storage.actions[name] = policy.storage.actions['storage:list:exports'];
    }
    const { catalogue, problems } = await loadFiles(policyFiles(policy));
    assert.equal(catalogue, null);
    const printed = problems.map(({ message, fix, file }) => message + fix + file).join('');
    assert.ok(!/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/u.test(printed), printed);
  }
});

test('no text at all makes the check throw', async () => {
  const pieces = [
    'agent',
    ': ',
    '\n',
    ' ',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '&a',
    '*a',
    '!',
    '|',
    '>',
    '%',
    '#',
    '---',
    '...',
    '\t',
    '?',
    'x',
    'é',
    '\ud83d\ude00',
    '1e999',
    '<<',
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...pieces), { maxLength: 60 }), async (chosen) => {
      const { problems } = await loadFiles({ 'zones.yaml': chosen.join('') });
      assert.ok(problems.every(({ line, column }) => line >= 1 && column >= 1));
    }),
    { numRuns: 300 },
  );
});
