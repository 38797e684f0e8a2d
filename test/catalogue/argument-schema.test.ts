import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compileArgumentSchema, loadCatalogue } from '../../src/catalogue/index.ts';
import { type Loose, loadChanged, rulesOf } from './policy-fixture.ts';

/** A schema of one property, closed and required. */
const of = (property: Loose, more: Loose = {}): Loose => ({
  type: 'object',
  properties: { x: property },
  required: ['x'],
  additionalProperties: false,
  ...more,
});

const problemsOf = async (schema: Loose) => {
  const loaded = await loadChanged(({ storage }) => {
    storage.actions['storage:write:exports'].arguments = schema;
  });
  return loaded.problems;
};

const text = { type: 'string', maxLength: 20 };

const GREEN: [string, Loose][] = [
  ['text with a bound', of(text)],
  ['a pattern for the whole text', of({ ...text, pattern: '^[a-z]{1,20}$' })],
  ['alternatives inside a group', of({ ...text, pattern: '^(?:a|b)$' })],
  ['a list of what it may be', of({ enum: ['a', 'b', 1] })],
  ['a constant', of({ const: 'a' })],
  ['a number', of({ type: 'number' })],
  ['text or nothing', of({ ...text, type: ['string', 'null'] })],
  ['a bounded list', of({ type: 'array', items: text, maxItems: 3 })],
  ['a definition of its own', of({ $ref: '#/$defs/t' }, { $defs: { t: text } })],
  ['alternatives', of({ oneOf: [text, { type: 'integer' }] })],
  ['a bounded mapping', of({ type: 'object', additionalProperties: text, maxProperties: 3 })],
  [
    'refinements without bounds of their own',
    of(text, { allOf: [{ type: 'object', properties: { x: { type: 'string', minLength: 2 } } }] }),
  ],
  ['its dialect', of(text, { $schema: 'https://json-schema.org/draft/2020-12/schema' })],
  [
    'properties called like keywords and like members of Object',
    of(text, { properties: { x: text, format: text, constructor: text, $ref: text } }),
  ],
];

for (const [what, schema] of GREEN) {
  test(`a schema with ${what} passes`, async () => {
    assert.deepEqual(await problemsOf(schema), []);
  });
}

const chain = (length: number): Loose =>
  Object.fromEntries(
    Array.from({ length }, (_, i) => [
      `d${i}`,
      i === 0
        ? text
        : {
            type: 'array',
            maxItems: 2,
            prefixItems: [{ $ref: `#/$defs/d${i - 1}` }, { $ref: `#/$defs/d${i - 1}` }],
            items: false,
            minItems: 2,
          },
    ]),
  );

/** What is wrong, and whether an acceptance may help. */
const RED: [string, Loose, 'acceptable' | 'never'][] = [
  ['text without a bound', of({ type: 'string' }), 'acceptable'],
  ['a pattern but no bound', of({ type: 'string', pattern: '^a*$' }), 'acceptable'],
  ['a pattern that a part satisfies', of({ ...text, pattern: '[a-z]+' }), 'acceptable'],
  ['a pattern with alternatives at the top', of({ ...text, pattern: '^a|b$' }), 'acceptable'],
  ['a pattern that ends in an escaped dollar', of({ ...text, pattern: '^a\\$' }), 'acceptable'],
  ['a list without a bound', of({ type: 'array', items: text }), 'acceptable'],
  ['a list of anything', of({ type: 'array', maxItems: 3 }), 'acceptable'],
  ['an open object inside', of({ type: 'object', properties: { a: text } }), 'acceptable'],
  ['an open object at the top', { type: 'object', properties: { x: text } }, 'acceptable'],
  ['additional properties of any kind', of(text, { additionalProperties: true }), 'acceptable'],
  [
    'names by pattern without a bound',
    of(text, { patternProperties: { '^y[a-z]{1,9}$': text } }),
    'acceptable',
  ],
  [
    'names by a pattern that a part satisfies',
    of(text, { patternProperties: { y: text }, maxProperties: 3 }),
    'acceptable',
  ],
  ['anything', of({}), 'acceptable'],
  ['true', of(true), 'acceptable'],
  ['an alternative without a bound', of({ anyOf: [{ type: 'string' }, { type: 'integer' }] }), 'acceptable'],
  [
    'a definition without a bound',
    of({ $ref: '#/$defs/t' }, { $defs: { t: { type: 'string' } } }),
    'acceptable',
  ],
  ['a reference to elsewhere', of({ $ref: 'https://evil.example/schema.json' }), 'never'],
  ['a reference to a file', of({ $ref: 'file:///etc/passwd' }), 'never'],
  ['a reference to a relative place', of({ $ref: 'other.json#/a' }), 'never'],
  ['a reference to an anchor', of({ $ref: '#a' }), 'never'],
  ['a reference to nothing', of({ $ref: '#/$defs/nothing' }), 'never'],
  ['a reference to itself', of({ $ref: '#' }), 'never'],
  [
    'a definition that is its own',
    of(
      { $ref: '#/$defs/t' },
      {
        $defs: {
          t: { type: 'object', additionalProperties: false, properties: { t: { $ref: '#/$defs/t' } } },
        },
      },
    ),
    'never',
  ],
  ['definitions that double at every step', of({ $ref: '#/$defs/d20' }, { $defs: chain(21) }), 'never'],
  ['a dynamic reference', of({ ...text, $dynamicRef: '#x' }), 'never'],
  ['a dynamic anchor', of({ ...text, $dynamicAnchor: 'x' }), 'never'],
  ['an id', of(text, { $id: 'https://evil.example/' }), 'never'],
  ['another dialect', of(text, { $schema: 'http://json-schema.org/draft-07/schema#' }), 'never'],
  ['a format, which nothing enforces', of({ ...text, format: 'email' }), 'never'],
  ['a misspelt keyword', of({ ...text, maxLenght: 3 }), 'never'],
  ['a keyword of another validator', of({ ...text, nullable: true }), 'never'],
  ['an asynchronous schema', of(text, { $async: true }), 'never'],
  ['a look-ahead', of({ ...text, pattern: '^(?=a)b$' }), 'never'],
  ['a back-reference', of({ ...text, pattern: '^(a)\\1$' }), 'never'],
  ['a pattern that is none', of({ ...text, pattern: '^(a$' }), 'never'],
  ['a pattern only RE2 knows', of({ ...text, pattern: '^(?i)a$' }), 'never'],
  ['a pattern that counts too far', of({ ...text, pattern: '^((a{100}){100}){100}$' }), 'never'],
  ['a pattern of 257 characters', of({ ...text, pattern: `^${'a'.repeat(255)}$` }), 'never'],
  [
    'a name pattern with a look-behind',
    of(text, { patternProperties: { '^(?<=a)b$': text }, maxProperties: 3 }),
    'never',
  ],
  ['$data', of({ type: 'integer', maximum: { $data: '1/y' } }), 'never'],
  ['a type that is none', of({ type: 'text' }), 'never'],
  ['a bound that is no number', of({ type: 'string', maxLength: 'x' }), 'never'],
  ['no object at the top', { ...text }, 'never'],
  ['a required property that is not there', of(text, { required: ['y'] }), 'never'],
];

for (const [what, schema, help] of RED) {
  test(`a schema with ${what} is refused${help === 'never' ? ', accepted or not' : ''}`, async () => {
    const problems = await problemsOf(schema);
    assert.ok(problems.length > 0);
    for (const { rule, fix, message } of problems) {
      assert.equal(rule, 'risky-argument-schema', message);
      assert.equal(fix.includes('cannot be accepted'), help === 'never', message);
    }
    const accepted = await acceptEverything(
      schema,
      problems.map(({ message }) => message.split(':')[0] ?? ''),
    );
    assert.equal(
      accepted.some(({ rule }) => rule === 'risky-argument-schema'),
      help === 'never',
    );
  });
}

async function acceptEverything(schema: Loose, places: string[]) {
  const loaded = await loadChanged(({ storage }) => {
    Object.assign(storage.actions['storage:write:exports'], {
      arguments: schema,
      accept: [...new Set(places)].map((place) => ({
        rule: 'risky-argument-schema',
        for: place,
        because: 'Reviewed: the caller is a fixture and holds nothing worth taking.',
        reviewed_by: 'security-review',
      })),
    });
  });
  return loaded.problems;
}

test('a reference to a definition that is not there says so', async () => {
  const [problem] = await problemsOf(of({ $ref: '#/$defs/nothing' }));
  assert.match(problem?.message ?? '', /a definition "nothing" in \$defs at the top, found none/);
});

test('a risk is reported at its own line of the file', async () => {
  const [problem] = await problemsOf(of({ type: 'string' }));
  const [deeper] = await problemsOf(of({ ...text, pattern: '(?=a)' }));
  assert.equal(problem?.message.split(':')[0], '/properties/x');
  assert.equal(deeper?.message.split(':')[0], '/properties/x/pattern');
  assert.ok((deeper?.line ?? 0) > (problem?.line ?? 0));
});

test('the check of arguments decides, and takes linear time over a pattern that backtracks elsewhere', () => {
  const check = compileArgumentSchema(of({ type: 'string', maxLength: 100_000, pattern: '^(?:a+)+$' }));
  assert.equal(check({ x: 'aaa' }), true);
  assert.equal(check({ x: 'aab' }), false);
  for (const value of [{}, { x: 1 }, { x: 'a', y: 1 }, [], null, 'x', { x: 'é' }])
    assert.equal(check(value), false);
  const start = performance.now();
  assert.equal(check({ x: `${'a'.repeat(99_999)}!` }), false);
  assert.ok(performance.now() - start < 2_000);
});

test('every pattern of a schema decides for its own property', () => {
  const [a, b] = ['^a+$', '^b+$'].map((pattern) => ({ ...text, pattern }));
  const check = compileArgumentSchema({ type: 'object', properties: { a, b }, additionalProperties: false });
  assert.deepEqual([{ a: 'a' }, { b: 'b' }, { a: 'b' }, { b: 'a' }, { a: 'a', b: 'a' }].map(check), [
    true,
    true,
    false,
    false,
    false,
  ]);
});

test('a schema is never fetched, and __proto__ in arguments is a property like any other', () => {
  assert.throws(() => compileArgumentSchema(of({ $ref: 'https://evil.example/schema.json' })));
  const check = compileArgumentSchema(of(text));
  assert.equal(check(JSON.parse('{"x":"a","__proto__":{"y":1}}')), false);
});

test('every argument schema that ships can be compiled', async () => {
  const { catalogue } = await loadCatalogue(fileURLToPath(new URL('../../scopes', import.meta.url)));
  const schemas = [...(catalogue?.actions.values() ?? [])].flatMap(({ arguments: schema }) => schema ?? []);
  assert.ok(schemas.length >= 10);
  for (const schema of schemas) assert.equal(compileArgumentSchema(schema)({ unknown: true }), false);
  assert.deepEqual(rulesOf(await loadChanged(() => {})), []);
});
