import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { JsonError, parseStrictJson, parseStrictJsonObject } from '../../src/json/strict-json.ts';
import { fc } from '../properties.ts';

const BOUNDS = { maxDepth: 16, maxMembers: 1_000 };

function refuses(text: string, bounds = BOUNDS): void {
  assert.throws(() => parseStrictJson(text, bounds), JsonError, `accepted: ${text.slice(0, 80)}`);
}

describe('What is not one JSON document is refused', () => {
  const cases: [string, string][] = [
    ['nothing', ''],
    ['white space alone', ' \n'],
    ['a byte order mark', '\ufeff{}'],
    ['a trailing comma in an object', '{"a":1,}'],
    ['a trailing comma in an array', '[1,]'],
    ['NaN', '{"a":NaN}'],
    ['Infinity', '{"a":-Infinity}'],
    ['undefined', '{"a":undefined}'],
    ['single quotes', "{'a':1}"],
    ['a name without quotes', '{a:1}'],
    ['a line comment', '{"a":1}//x'],
    ['a block comment', '{/*x*/"a":1}'],
    ['two documents', '{} {}'],
    ['trailing bytes', '{"a":1}x'],
    ['a NUL after the document', '{"a":1}\u0000'],
    ['a control character in a string', '"a\u0001b"'],
    ['a line feed in a string', '"a\nb"'],
    ['an unknown escape', '"\\x41"'],
    ['a short unicode escape', '"\\u004"'],
    ['a string that never ends', '{"a":"b'],
    ['a string that ends in a backslash', '"\\'],
    ['an object that never ends', '{"a":1'],
    ['one bracket too many', '[1]]'],
    ['crossed brackets', '{"a":[1}]'],
    ['a name in an array', '["a":1]'],
    ['a member without a value', '{"a":}'],
    ['a colon too many', '{"a"::1}'],
    ['form feed as white space', '\f{}'],
    ['a no-break space', '\u00a0{}'],
    ['UTF-16 read as UTF-8', Buffer.from('{"a":1}', 'utf16le').toString('latin1')],
  ];
  for (const [name, text] of cases) {
    test(`${name} is refused`, () => refuses(text));
  }
});

describe('A member that could be read in two ways is refused', () => {
  const cases: [string, string][] = [
    ['the same member with the same value', '{"a":1,"a":1}'],
    ['the same member with another value', '{"a":1,"a":2}'],
    ['the same member after unescaping', '{"a":1,"\\u0061":2}'],
    ['the same member, both escaped', '{"\\u0061":1,"\\u0061":2}'],
    ['the same member in an inner object', '{"x":[{"y":{"a":1,"b":2,"a":3}}]}'],
    ['the same empty name', '{"":1,"":2}'],
    ['the same name with an escaped quote', '{"\\"":1,"\\u0022":2}'],
    ['the member __proto__', '{"__proto__":{"admin":true}}'],
    ['the member __proto__, escaped', '{"\\u005f_proto__":1}'],
  ];
  for (const [name, text] of cases) {
    test(`${name} is refused`, () => refuses(text));
  }

  test('equal names in different objects are two members', () => {
    assert.deepEqual(parseStrictJson('[{"a":1},{"a":2,"b":{"a":3}}]'), [{ a: 1 }, { a: 2, b: { a: 3 } }]);
  });

  test('a name that looks like a repetition inside a string is text', () => {
    assert.deepEqual(parseStrictJson('{"a":"\\",\\"a\\":1"}'), { a: '","a":1' });
  });

  test('constructor and toString are ordinary names', () => {
    assert.deepEqual(parseStrictJson('{"constructor":1,"toString":2}'), { constructor: 1, toString: 2 });
  });
});

describe('No number changes while it is read', () => {
  for (const literal of [
    '1e400',
    '-1e400',
    '9007199254740993',
    '-9007199254740992',
    '1e-400',
    `1${'0'.repeat(400)}`,
  ]) {
    test(`${literal.slice(0, 24)} is refused, since it cannot be kept`, () => refuses(`{"a":${literal}}`));
  }
  for (const literal of ['01', '+1', '1.', '.5', '1e', '--1', '1-1', '0x10', '1_000', '1e+', '-']) {
    test(`${literal} is refused, since it is not a JSON number`, () => refuses(`[${literal}]`));
  }

  test('what JSON allows and a double keeps is accepted', () => {
    const numbers = '[0,-0,1.0,1E+2,0.1e1,-12.5e-3,9007199254740991,0e9,0.000,333333333.3333333,1E30]';
    assert.deepEqual(parseStrictJson(numbers), [
      0,
      -0,
      1,
      100,
      1,
      -0.0125,
      2 ** 53 - 1,
      0,
      0,
      333333333.3333333,
      1e30,
    ]);
  });

  test('where only whole numbers are expected they have one spelling', () => {
    const bounds = { ...BOUNDS, numbers: 'integers' as const };
    assert.deepEqual(parseStrictJson('[0,1,-1,300,9007199254740991]', bounds), [0, 1, -1, 300, 2 ** 53 - 1]);
    for (const literal of [
      '-0',
      '1.0',
      '1E+2',
      '1e2',
      '0.1e1',
      '01',
      '9007199254740993',
      '1e400',
      '0.5',
      '-',
    ]) {
      refuses(`{"a":${literal}}`, bounds);
    }
  });

  test('digits inside strings are text', () => {
    assert.deepEqual(parseStrictJson('["1e400","01"]'), ['1e400', '01']);
  });
});

describe('Text that Postgres or a second parser would see differently is refused', () => {
  for (const text of ['"\\ud800"', '"\\udc00\\ud800"', '{"\\ud83d":1}', '["a\\uDBFF"]', '"\ud800"']) {
    test(`the lone surrogate in ${JSON.stringify(text)} is refused`, () => refuses(text));
  }

  test('a surrogate pair is one character, escaped or not', () => {
    assert.deepEqual(parseStrictJson('["\\ud83d\\ude00","\u{1f600}"]'), ['\u{1f600}', '\u{1f600}']);
  });
});

describe('Size has bounds before anything walks the document', () => {
  const nested = (depth: number, open: string, close: string) =>
    `${open.repeat(depth)}1${close.repeat(depth)}`;
  for (const depth of [17, 33, 100, 10_000, 200_000]) {
    test(`arrays, objects and mixtures ${depth} deep are refused`, () => {
      refuses(nested(depth, '[', ']'));
      refuses(nested(depth, '{"a":', '}'));
      refuses(nested(depth / 2 + 1, '[{"a":', '}]'));
      refuses('['.repeat(depth));
    });
  }

  test('sixteen deep is accepted', () => {
    assert.doesNotThrow(() => parseStrictJson(nested(16, '[', ']')));
  });

  test('a thousand and one members are refused and a thousand accepted', () => {
    const members = (count: number) => Array.from({ length: count }, (_, index) => `"m${index}":1`).join(',');
    assert.doesNotThrow(() => parseStrictJson(`{${members(1_000)}}`));
    refuses(`{${members(1_001)}}`);
    refuses(`[${'1,'.repeat(1_000)}1]`);
  });

  test('fifty thousand names like integers do not cost the square of it', () => {
    const text = `{${Array.from({ length: 50_000 }, (_, index) => `"${index * 1_024}":1`).join(',')}}`;
    const start = performance.now();
    refuses(text);
    assert.ok(performance.now() - start < 2_000);
  });
});

describe('Against JSON.parse', () => {
  const value = fc.jsonValue({ depthSize: 'small', noUnicodeString: false });
  const wellFormed = value.filter((candidate) => !hasProto(candidate));

  test('every document that JSON.stringify writes is read as the same value', () => {
    fc.assert(
      fc.property(wellFormed, fc.constantFrom(undefined, 2), (candidate, indent) => {
        const text = JSON.stringify(candidate, null, indent);
        const expected: unknown = JSON.parse(text);
        if (!keepsNumbers(expected)) return;
        assert.deepEqual(parseStrictJson(text, { maxDepth: 64, maxMembers: 100_000 }), expected);
      }),
      { numRuns: 1_000 },
    );
  });

  test('whatever is accepted, JSON.parse accepts with the same value, and only JsonError is thrown', () => {
    const pieces = fc.constantFrom(
      '{', '}', '[', ']', ',', ':', '"', '\\', '"a"', '"\\u0061"', '1', '-', '.', 'e', 'true', 'null', ' ', '\n', '\u0000', '\ud800', 'é',
    ); // biome-ignore format: a list of pieces
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 24 }), (parts) => {
        const text = parts.join('');
        const strict = attempt(() => parseStrictJson(text));
        if ('value' in strict) assert.deepEqual(strict.value, JSON.parse(text));
        else assert.ok(strict.error instanceof JsonError, `${strict.error}`);
      }),
      { numRuns: 5_000 },
    );
  });

  test('one changed character never makes it throw anything but JsonError', () => {
    fc.assert(
      fc.property(
        wellFormed,
        fc.nat(),
        fc.string({ minLength: 1, maxLength: 1 }),
        (candidate, place, character) => {
          const text = JSON.stringify(candidate);
          const at = place % text.length;
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          const strict = attempt(() => parseStrictJson(changed));
          if ('value' in strict) assert.deepEqual(strict.value, JSON.parse(changed));
          else assert.ok(strict.error instanceof JsonError, `${strict.error}`);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

test('a document that has to be an object is nothing else', () => {
  assert.deepEqual(parseStrictJsonObject('{"a":null}'), { a: null });
  for (const text of ['[]', 'null', '1', '"a"', 'true']) {
    assert.throws(() => parseStrictJsonObject(text), JsonError);
  }
});

function attempt(parse: () => unknown): { value: unknown } | { error: unknown } {
  try {
    return { value: parse() };
  } catch (error) {
    return { error };
  }
}

function hasProto(value: unknown): boolean {
  return JSON.stringify(value).includes('__proto__');
}

/** Whole numbers past 2^53 are refused on purpose. */
function keepsNumbers(value: unknown): boolean {
  if (typeof value === 'number') return !/^-?\d+$/.test(String(value)) || Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(keepsNumbers);
}
