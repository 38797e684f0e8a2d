import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { isProvablyNarrower } from '../../src/catalogue/narrower-schema.ts';
import { fc } from '../properties.ts';
import type { Loose } from './policy-fixture.ts';

const narrower = (before: unknown, after: unknown): boolean => isProvablyNarrower({ before, after });
const object = (properties: Loose, more: Loose = {}): Loose => ({
  type: 'object',
  properties,
  additionalProperties: false,
  ...more,
});
const text = { type: 'string', maxLength: 10 };

test('ordinary narrowings are recognised', () => {
  assert.ok(narrower(true, object({})));
  assert.ok(narrower(object({ a: text }), object({ a: { ...text, maxLength: 9 } })));
  assert.ok(narrower(object({ a: text }), object({ a: text }, { required: ['a'] })));
  assert.ok(narrower(object({ a: text, b: text }), object({ a: text })));
  assert.ok(narrower(object({ a: { type: 'number' } }), object({ a: { type: 'integer', minimum: 0 } })));
  assert.ok(narrower({ enum: [1, 2, 3] }, { enum: [3, 1] }));
  assert.ok(narrower({ enum: [1, 2, 3] }, { const: 2 }));
  assert.ok(narrower({ type: 'string' }, { type: 'string', pattern: '^a$' }));
  assert.ok(
    narrower({ type: 'array', items: text, maxItems: 3 }, { type: 'array', items: text, maxItems: 2 }),
  );
  assert.ok(narrower({ ...text, title: 'A' }, { ...text, title: 'B', description: 'C' }));
});

test('whatever could admit more is not narrower', () => {
  const pairs: [unknown, unknown][] = [
    [object({}), true],
    [object({ a: text }), object({ a: { ...text, maxLength: 11 } })],
    [object({ a: text }), object({ a: { type: 'string' } })],
    [object({ a: text }, { required: ['a'] }), object({ a: text })],
    [object({ a: text }), object({ a: text, b: text })],
    [object({ a: text }), { type: 'object', properties: { a: text } }],
    [{ type: 'integer' }, { type: 'number' }],
    [{ type: 'string' }, { type: ['string', 'null'] }],
    [{ enum: [1, 2] }, { enum: [1, 3] }],
    [{ enum: [1, 2] }, { const: 3 }],
    [
      { type: 'string', pattern: '^a$' },
      { type: 'string', pattern: '^b$' },
    ],
    [{ type: 'string', pattern: '^a$' }, { type: 'string' }],
    [{ type: 'array', uniqueItems: true }, { type: 'array' }],
    [{ oneOf: [text] }, { oneOf: [text, { type: 'null' }] }],
    [{ oneOf: [text, { type: 'null' }] }, { oneOf: [text] }],
    [{ not: { type: 'string' } }, { not: { type: 'string', maxLength: 3 } }],
    [{ contains: { const: 1 } }, { contains: { const: 1 }, minContains: 0 }],
    [JSON.parse('{"if":{"const":1},"then":false}'), JSON.parse('{"if":{"const":2},"then":false}')],
    [
      { $ref: '#/$defs/a', $defs: { a: text } },
      { $ref: '#/$defs/a', $defs: { a: { type: 'string' } } },
    ],
    [
      { type: 'object', unevaluatedProperties: false },
      { type: 'object', properties: { a: text }, unevaluatedProperties: false },
    ],
    [{ prefixItems: [text] }, { prefixItems: [{ type: 'string' }] }],
    [{ patternProperties: { '^a$': text } }, { patternProperties: { '^b$': text } }],
    [
      { patternProperties: { '^a$': text }, additionalProperties: false },
      { additionalProperties: false, patternProperties: { '^a$': text }, properties: { b: text } },
    ],
    [
      {
        properties: { b: text },
        patternProperties: { '^b$': { type: 'string' } },
        additionalProperties: false,
      },
      { patternProperties: { '^b$': { type: 'string' } }, additionalProperties: false },
    ],
    [false, text],
    [{ somethingNew: 1 }, {}],
  ];
  for (const [before, after] of pairs) {
    assert.ok(!narrower(before, after), `${JSON.stringify(before)} → ${JSON.stringify(after)}`);
  }
});

// small, so that schemas and values often meet
const small = fc.integer({ min: 0, max: 3 });
const leaf: fc.Arbitrary<Loose> = fc.oneof(
  fc.record({ type: fc.constant('string'), maxLength: small, minLength: small }, { requiredKeys: ['type'] }),
  fc.record(
    { type: fc.constantFrom('integer', 'number'), minimum: small, exclusiveMaximum: small },
    { requiredKeys: ['type'] },
  ),
  fc.record({ enum: fc.uniqueArray(fc.constantFrom<unknown>(0, 1, 'a', 'ab', null), { minLength: 1 }) }),
  fc.record({ const: fc.constantFrom<unknown>(0, 1, 'a') }),
  fc.record(
    {
      type: fc.constant('array'),
      items: fc.constant({ type: 'integer', maximum: 2 }),
      maxItems: small,
      uniqueItems: fc.boolean(),
    },
    { requiredKeys: ['type'] },
  ),
  fc.constantFrom<Loose>({}, true),
);
const schema: fc.Arbitrary<Loose> = fc.record(
  {
    type: fc.constant('object'),
    properties: fc.dictionary(fc.constantFrom('a', 'b', 'c'), leaf, { maxKeys: 3 }),
    required: fc.uniqueArray(fc.constantFrom('a', 'b')),
    additionalProperties: fc.oneof(fc.constant(false), leaf),
    maxProperties: small,
    minProperties: small,
    unevaluatedProperties: fc.constant(false),
    patternProperties: fc.constantFrom<Loose>({ '^[ab]$': { type: 'integer' } }),
  },
  { requiredKeys: ['type'] },
);
const value = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'd'),
  fc.oneof(fc.constantFrom<unknown>(0, 1, 2, 0.5, 'a', 'ab', '', null), fc.array(small, { maxLength: 3 })),
);
/** A schema and one that differs from it in a few keywords only. */
const pair = fc
  .tuple(
    schema,
    schema,
    fc.subarray([
      'properties',
      'required',
      'additionalProperties',
      'maxProperties',
      'minProperties',
      'unevaluatedProperties',
      'patternProperties',
    ]),
  )
  .map(([before, other, taken]) => {
    const after = { ...before };
    for (const keyword of taken) {
      if (keyword in other) after[keyword] = other[keyword];
      else delete after[keyword];
    }
    return { before, after };
  });

test('whatever is called narrower admits nothing that was refused', () => {
  let proved = 0;
  fc.assert(
    fc.property(pair, fc.array(value, { minLength: 20, maxLength: 20 }), ({ before, after }, values) => {
      fc.pre(narrower(before, after));
      proved += 1;
      const [old, current] = [lenient(before), lenient(after)];
      for (const one of values) {
        if (current(one)) assert.ok(old(one), JSON.stringify({ before, after, one }));
      }
    }),
    { numRuns: 1_000 },
  );
  assert.equal(proved, 1_000);
});

/** These schemas are not written by people: strict mode would refuse some for their style. */
function lenient(schemaOfTest: Loose): (value: unknown) => boolean {
  const validate = new Ajv2020({ strict: false, meta: false, validateSchema: false }).compile(schemaOfTest);
  return (one) => validate(one) === true;
}
