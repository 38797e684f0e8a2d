import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Refusal } from '../../src/errors/refusal.ts';
import type { RefusalReason } from '../../src/errors/refusal-reasons.ts';
import { readForm } from '../../src/http/form.ts';
import { HTTP_LIMITS } from '../../src/http/limits.ts';
import { fc } from '../properties.ts';

const read = (body: string | Buffer) => readForm(Buffer.from(body), HTTP_LIMITS);

function refuses(body: string | Buffer, reason: RefusalReason): void {
  assert.throws(
    () => read(body),
    (error) => error instanceof Refusal && error.reason === reason,
    `${body}`.slice(0, 60),
  );
}

describe('A parameter is one text', () => {
  test('plus is a space and escapes are UTF-8', () => {
    const form = read('a=b+c%20d%2B&euro=%E2%82%AC&raw=é&smile=%F0%9F%98%80');
    assert.equal(form.one('a'), 'b c d+');
    assert.equal(form.one('euro'), '€');
    assert.equal(form.one('raw'), 'é');
    assert.equal(form.one('smile'), '\u{1f600}');
  });

  test('TOK-04: a parameter without a value is absent', () => {
    const form = read('scope=&client_id&resource=&=x&&');
    assert.equal(form.one('scope'), undefined);
    assert.equal(form.one('client_id'), undefined);
    assert.deepEqual(form.all('resource'), []);
  });

  test('an empty one beside a full one is absent, too', () => {
    assert.equal(read('scope=&scope=a').one('scope'), 'a');
  });

  test('a value may hold an equals sign', () => {
    assert.equal(read('assertion=a==').one('assertion'), 'a==');
  });

  test('names are compared to the letter', () => {
    const form = read('GRANT_TYPE=a&grant%5Ftype=b&grant-type=c');
    assert.equal(form.one('grant_type'), 'b');
    assert.equal(form.one('Grant_Type'), undefined);
  });

  test('brackets, dots and __proto__ are only names that nobody asks for', () => {
    const form = read('scope[]=a&scope[0]=b&a.b=c&__proto__=d&__proto__[x]=e&constructor=f&scope=g');
    assert.equal(form.one('scope'), 'g');
    assert.equal(form.one('x'), undefined);
    assert.equal(form.one('toString'), undefined);
    assert.equal(Object.hasOwn(Object.prototype, 'x'), false);
  });

  test('tab and line breaks pass, since JSON in a parameter may be written on several lines', () => {
    assert.equal(read('authorization_details=%5B%0D%0A%09%5D').one('authorization_details'), '[\r\n\t]');
  });
});

describe('TOK-02: a parameter that comes twice is refused', () => {
  for (const body of [
    'grant_type=a&grant_type=b',
    'grant_type=a&grant_type=a',
    'scope=a&x=1&scope=b',
    'scope=a&sc%6Fpe=b',
    'unknown=1&unknown=2',
    'client_assertion=a&client_assertion=a',
  ]) {
    test(body, () => refuses(body, 'parameter_repeated'));
  }

  test('resource and audience may repeat, and are then no single value', () => {
    const form = read('resource=a&resource=b&resource=&audience=c');
    assert.deepEqual(form.all('resource'), ['a', 'b']);
    assert.equal(form.one('audience'), 'c');
    assert.throws(() => form.one('resource'), { reason: 'parameter_repeated' });
  });
});

describe('What cannot be read in one way is refused', () => {
  const encodings: [string, string][] = [
    ['a bare percent sign', '%'],
    ['a percent sign and one digit', '%4'],
    ['an escape that is not hexadecimal', '%ZZ'],
    ['an escape with a full-width digit', '%４1'],
    ['%u escapes', '%u0041'],
    ['a lone continuation byte', '%80'],
    ['a cut-off sequence', '%E2%82'],
    ['an overlong slash', '%C0%AF'],
    ['an overlong NUL', '%C0%80'],
    ['a high surrogate as UTF-8', '%ED%A0%80'],
    ['a low surrogate as UTF-8', '%ED%B0%80'],
    ['a pair of surrogates as UTF-8', '%ED%A0%BD%ED%B8%80'],
    ['a code point past U+10FFFF', '%F4%90%80%80'],
    ['ISO-8859-1', '%E9'],
    ['NUL', '%00'],
    ['a bell', '%07'],
    ['ESC', '%1B'],
    ['DEL', '%7F'],
    ['a raw NUL', '\0'],
  ];
  for (const [name, value] of encodings) {
    test(`${name} in a value is refused`, () => refuses(`x=a${value}`, 'parameter_invalid'));
    test(`${name} in a name is refused`, () => refuses(`a${value}=x`, 'request_malformed'));
  }

  test('bytes that are not UTF-8 are refused', () => {
    refuses(Buffer.from([0x61, 0x3d, 0xe9]), 'request_malformed');
    refuses(Buffer.from('scope=a', 'utf16le'), 'request_malformed');
  });

  test('a parameter with an error code of its own is refused with that one', () => {
    refuses('client_id=a%00', 'client_unknown');
    refuses('client_assertion=%ZZ', 'assertion_malformed');
    refuses('scope=%ED%A0%80', 'scope_malformed');
    refuses('resource=%', 'resource_malformed');
    refuses('authorization_details=%00', 'authorization_details_malformed');
  });
});

describe('A form has bounds', () => {
  test('256 parameters are read and 257 refused', () => {
    const body = (count: number) => Array.from({ length: count }, (_, index) => `p${index}=1`).join('&');
    assert.equal(read(body(256)).one('p255'), '1');
    refuses(body(257), 'request_malformed');
  });

  test('a value of 16384 characters is read and a longer one refused, encoded or not', () => {
    assert.equal(read(`a=${'%61'.repeat(16_384)}`).one('a')?.length, 16_384);
    refuses(`a=${'a'.repeat(16_385)}`, 'parameter_invalid');
    refuses(`a=${'%61'.repeat(16_385)}`, 'parameter_invalid');
    refuses(`${'a'.repeat(16_385)}=a`, 'request_malformed');
  });

  test('64 KiB of ampersands or of escapes are read in no time', () => {
    for (const body of [
      '&'.repeat(65_536),
      '%25'.repeat(21_845),
      '='.repeat(65_536),
      `a=${'+'.repeat(65_000)}`,
    ]) {
      const start = performance.now();
      attempt(body);
      assert.ok(performance.now() - start < 2_000, body.slice(0, 10));
    }
  });
});

describe('Against URLSearchParams', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 }).map(withoutControls);
  const pairs = fc.uniqueArray(fc.tuple(text, text), { selector: ([name]) => name, maxLength: 12 });

  test('whatever URLSearchParams writes is read as the same values', () => {
    fc.assert(
      fc.property(pairs, (given) => {
        const form = read(new URLSearchParams(given).toString());
        for (const [name, value] of given) assert.equal(form.one(name), value === '' ? undefined : value);
      }),
      { numRuns: 1_000 },
    );
  });

  test('whatever encodeURIComponent writes is read as the same values', () => {
    fc.assert(
      fc.property(pairs, (given) => {
        const body = given
          .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
          .join('&');
        const form = read(body);
        for (const [name, value] of given) assert.equal(form.one(name), value === '' ? undefined : value);
      }),
      { numRuns: 1_000 },
    );
  });

  test('any bytes are refused, or read exactly as URLSearchParams reads them; nothing but a Refusal is thrown', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '=',
      '&',
      '+',
      '%',
      '%2',
      '%26',
      '%3D',
      '%2B',
      '%00',
      '%E9',
      '%C3%A9',
      'é',
      '\0',
      ' ',
      '[',
      ';',
      '%25',
      '\r\n',
      '𝄞',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (parts) => {
        const body = parts.join('');
        const form = attempt(body);
        if (form === null) return;
        const lenient = new URLSearchParams(body);
        for (const name of lenient.keys()) {
          const full = lenient.getAll(name).filter((value) => value !== '');
          assert.deepEqual(form.all(name), full, JSON.stringify(body));
        }
      }),
      { numRuns: 10_000 },
    );
  });

  test('random bytes are read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        attempt(Buffer.from(bytes));
      }),
      { numRuns: 2_000 },
    );
  });
});

function attempt(body: string | Buffer) {
  try {
    return read(body);
  } catch (error) {
    assert.ok(error instanceof Refusal, `${error}`);
    return null;
  }
}

function withoutControls(text: string): string {
  return [...text].filter((character) => !/\p{Cc}/u.test(character) && character.isWellFormed()).join('');
}
