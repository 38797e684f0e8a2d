/**
 * `application/x-www-form-urlencoded`, read so that nobody else can read it differently. The usual readers are
 * kind: they keep `%ZZ` as it stands, turn broken UTF-8 into U+FFFD, make arrays of repeated names and objects of
 * `a[b]`. Here a parameter is one text or the request is refused (RFC 6749 §3.2, Appendix B), and a name is just
 * a name. The decoding itself is `decodeURIComponent`, which is strict about both percent signs and UTF-8.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { refuse } from '../errors/refusal.ts';
import type { RefusalReason } from '../errors/refusal-reasons.ts';

export type Form = {
  /**
   * The value of a parameter; undefined when it is absent or empty, which is the same (RFC 6749 §3.2).
   * @throws {Refusal} `parameter_repeated` when a parameter that may repeat came more than once
   */
  one(name: string): string | undefined;
  /** All values of a parameter that may repeat, without empty ones, in the order sent. */
  all(name: string): readonly string[];
  /** Of every parameter with a value. */
  names(): readonly string[];
};

export type FormLimits = { formParameters: number; formValueCharacters: number };

/** The parameters whose specification lets them repeat (RFC 8707 §2, RFC 8693 §2.1). All others never do. */
const REPEATABLE: ReadonlySet<string> = new Set(['resource', 'audience']);

/** Parameters with an error code of their own, which covers a value that cannot even be read. */
const REASON_OF_UNREADABLE: ReadonlyMap<string, RefusalReason> = new Map([
  ['client_id', 'client_unknown'],
  ['client_assertion', 'assertion_malformed'],
  ['scope', 'scope_malformed'],
  ['resource', 'resource_malformed'],
  ['authorization_details', 'authorization_details_malformed'],
]);

/** C0 controls but tab, line feed and carriage return, which pretty-printed JSON has; and DEL. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;
const PLUS = /\+/g;

export const EMPTY_FORM: Form = { one: () => undefined, all: () => [], names: () => [] };

/**
 * @param bytes the body, or the query of a URL
 * @throws {Refusal} when it is not well-formed, a parameter repeats that may not, or a bound is exceeded
 */
export function readForm(bytes: Buffer, limits: FormLimits): Form {
  if (bytes.length === 0) return EMPTY_FORM;
  const values = readPairs(textOf(bytes), limits);
  return {
    one(name) {
      const given = values.get(name);
      if (given === undefined || given.length === 1) return given?.[0];
      return refuse('parameter_repeated', { hint: `Give ${name} once.` });
    },
    all: (name) => values.get(name) ?? [],
    names: () => [...values.keys()],
  };
}

function textOf(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  return refuse('request_malformed', { hint: 'The form has to be percent-encoded UTF-8.' });
}

function readPairs(text: string, limits: FormLimits): Map<string, string[]> {
  const values = new Map<string, string[]>();
  let count = 0;
  for (let start = 0; start <= text.length; ) {
    const ampersand = text.indexOf('&', start);
    const end = ampersand === -1 ? text.length : ampersand;
    if (end > start) {
      count += 1;
      if (count > limits.formParameters) tooMany(limits);
      readPair(text.slice(start, end), values, limits);
    }
    start = end + 1;
  }
  return values;
}

function readPair(pair: string, values: Map<string, string[]>, limits: FormLimits): void {
  const equals = pair.indexOf('=');
  const name = decode(equals === -1 ? pair : pair.slice(0, equals), 'request_malformed', limits);
  if (equals === -1 || equals === pair.length - 1) return; // without a value: as if it had not been sent
  const value = decode(pair.slice(equals + 1), REASON_OF_UNREADABLE.get(name) ?? 'parameter_invalid', limits);
  const given = values.get(name);
  if (given === undefined) values.set(name, [value]);
  else if (REPEATABLE.has(name)) given.push(value);
  else refuse('parameter_repeated', { hint: 'A parameter came more than once (RFC 6749 section 3.2).' });
}

function decode(encoded: string, reason: RefusalReason, { formValueCharacters }: FormLimits): string {
  if (encoded.length > formValueCharacters * 3) tooLong(reason, formValueCharacters);
  const spaced = encoded.includes('+') ? encoded.replace(PLUS, ' ') : encoded;
  const text = spaced.includes('%') ? percentDecoded(spaced, reason) : spaced;
  if (text.length > formValueCharacters) tooLong(reason, formValueCharacters);
  if (CONTROLS.test(text)) refuse(reason, { hint: 'A parameter has control characters.' });
  return text;
}

function percentDecoded(text: string, reason: RefusalReason): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    return refuse(reason, { hint: 'A parameter is not percent-encoded UTF-8.' });
  }
}

function tooLong(reason: RefusalReason, characters: number): never {
  return refuse(reason, { hint: `A parameter is longer than ${characters} characters.` });
}

function tooMany({ formParameters }: FormLimits): never {
  return refuse('request_malformed', { hint: `The form has more than ${formParameters} parameters.` });
}
