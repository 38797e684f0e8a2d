/** What is looked at after every case. */
import assert from 'node:assert/strict';
import { REFUSAL_REASONS, type RefusalReason } from '../../src/errors/refusal-reasons.ts';
import type { Ledger } from './ledger.ts';
import type { Case } from './oracle.ts';
import { NO_ROWS, OUTCOMES, type Outcome, type Rows } from './outcomes.ts';
import type { Answer, Attempt } from './raw-request.ts';

/** Put into whatever must not come out again. */
export const CANARY = 'canary-7f3a-do-not-echo';

const MIN_SECRET_LENGTH = 20;
const MIN_ECHO_LENGTH = 8;

/** What hints say by themselves. */
const SAID_ANYWAY = [
  'client_credentials',
  'application/json',
  'application/x-www-form-urlencoded',
  'mayfly_call',
  'report-writer',
];
/** What may be refused below the handlers, where nothing is recorded; and challenges, which are only counted. */
const LEFT_OUT = [
  'use_dpop_nonce',
  'invalid_request',
  'not_found',
  'method_not_allowed',
  'content_too_large',
  'unsupported_media_type',
];
const SECRET_FIELDS = ['client_assertion', 'client_secret', 'token', 'access_token', 'assertion', 'password'];

/** The answer is exactly the expected one. @returns which, where several are */
export function expectOutcome(answer: Answer, expected: Case['expected']): Outcome {
  const allowed: readonly Outcome[] = typeof expected === 'string' ? [expected] : expected;
  const outcome = allowed.find((name) => matches(answer, name));
  assert.ok(outcome !== undefined, `expected ${allowed.join(' or ')}, got ${answer.status} ${answer.text}`);
  for (const name of OUTCOMES[outcome].headers ?? []) {
    assert.equal(answer.headers.get(name)?.length, 1, `one ${name}`);
  }
  if (outcome === 'INACT') assert.equal(answer.text, '{"active":false}');
  return outcome;
}

function matches({ status, body, headers }: Answer, outcome: Outcome): boolean {
  const promised = OUTCOMES[outcome];
  const isProblem = headers.get('content-type')?.[0] === 'application/problem+json';
  if (status !== promised.status) return false;
  if (promised.code !== undefined && body?.code !== promised.code) return false;
  if (promised.error === undefined || (isProblem && promised.code !== undefined)) return true;
  return (isProblem ? body?.code : body?.error) === promised.error;
}

/** Of any answer at all: what form it has, and what is not in it. */
export function expectSafeAnswer(answer: Answer, attempt: Attempt = {}): void {
  const { status, headers, text, body } = answer;
  assert.ok(status !== 500 && status !== 502, text);
  if (text !== '') {
    assert.match(headers.get('content-type')?.join() ?? '', /^application\/(problem\+)?json$/);
    assert.ok(body !== undefined, `JSON: ${text}`);
  }
  assert.match(headers.get('cache-control')?.join() ?? '', /^no-store$/);
  assert.match(headers.get('request-id')?.join() ?? '', /^req_[0-9a-z]{26}$/);
  for (const absent of ['etag', 'x-powered-by', 'server', 'access-control-allow-origin', 'location']) {
    assert.equal(headers.get(absent), undefined, absent);
  }
  for (const single of ['dpop-nonce', 'www-authenticate', 'retry-after', 'content-type', 'cache-control']) {
    assert.ok((headers.get(single)?.length ?? 0) <= 1, `${single} at most once`);
  }
  assert.match(headers.get('dpop-nonce')?.[0] ?? 'none', /^[\x21\x23-\x5b\x5d-\x7e]+$/);
  if (status < 400) return;
  expectPlainWords(answer);
  for (const value of echoable(attempt)) assert.ok(!text.includes(value), `echoes ${value.slice(0, 40)}`);
}

/** RFC 6749 §5.2 and RFC 9457: the characters of the words, and none of our insides in them. */
function expectPlainWords({ text, body, headers }: Answer): void {
  const words = body?.error_description ?? body?.title;
  assert.match(String(words), /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
  assert.doesNotMatch(text, /<html|<pre|\bat \S+:\d+|node:|\bselect\b|\binsert\b|SyntaxError|TypeError|pg_/i);
  for (const [, values] of headers) for (const value of values) assert.ok(!value.includes(CANARY));
  assert.ok(!text.includes(CANARY), 'the canary came out');
}

function echoable({ fields = {}, headers = [], body, json }: Attempt): string[] {
  const given = [
    ...Object.values(fields).flat(),
    ...headers.filter(([name]) => name !== 'Content-Type').map(([, value]) => value),
    ...(typeof body === 'string' ? [body] : []),
    ...(json === undefined ? [] : [JSON.stringify(json)]),
  ];
  return given.filter(
    (value): value is string =>
      value !== undefined && value.length >= MIN_ECHO_LENGTH && !SAID_ANYWAY.includes(value),
  );
}

/** The database changed as the outcome says, and not otherwise. */
export async function expectRows(
  ledger: Ledger,
  before: Rows,
  {
    outcome,
    rows,
    path = '/oauth/token',
  }: { outcome: Outcome; rows: Case['rows']; path?: string | undefined },
): Promise<void> {
  const after = await ledger.countRows();
  const added = Object.fromEntries(
    (Object.keys(NO_ROWS) as (keyof Rows)[]).map((name) => [name, after[name] - before[name]]),
  ) as Rows;
  const implied: Partial<Rows> =
    outcome === 'OK' && path.startsWith('/oauth/token')
      ? { tokens: 1, spent: 2, sessions: added.sessions === 1 ? 1 : 0 }
      : outcome === 'INACT'
        ? { spent: 1 }
        : {};
  assert.deepEqual(added, { ...NO_ROWS, ...implied, ...rows }, 'rows that were added');
}

/** A refusal has one entry (framing none), with a reason of the closed set. @returns the entries as text */
export async function expectRecord(
  ledger: Ledger,
  answer: Answer,
  { outcome, reason }: { outcome: Outcome; reason: Case['reason'] },
): Promise<string> {
  const entries = await ledger.entriesOf(answer);
  const refused = entries.filter((entry) => entry.outcome === 'refused');
  if (OUTCOMES[outcome].status >= 400) {
    const least = answer.text === '' || LEFT_OUT.includes(answer.body?.code) ? 0 : 1;
    assert.ok(entries.length <= 1 && entries.length >= least, `one entry: ${JSON.stringify(entries)}`);
    for (const entry of refused) {
      assert.ok(entry.reason !== null && entry.reason in REFUSAL_REASONS, `${entry.reason} is in the set`);
      assert.equal(REFUSAL_REASONS[entry.reason as RefusalReason], answer.body?.code);
    }
  }
  if (reason !== undefined)
    assert.deepEqual(
      refused.map((entry) => entry.reason),
      [reason],
    );
  return JSON.stringify(entries);
}

/** Nothing that somebody could use, and nothing that somebody planted, stands in the log or in the record. */
export function expectSilence(written: readonly string[], attempt: Attempt, answer: Answer): void {
  const { fields = {}, headers = [], json } = attempt;
  const members = { ...fields, ...(json as Record<string, string> | undefined) };
  const secrets = [
    ...SECRET_FIELDS.flatMap((name) => members[name] ?? []).filter((secret) => typeof secret === 'string'),
    ...headers.filter(([name]) => /^(dpop|authorization|cookie)$/i.test(name)).map(([, value]) => value),
    ...(typeof answer.body?.access_token === 'string' ? [answer.body.access_token as string] : []),
  ].flatMap((secret) => [secret, ...secret.split('.')]);
  const text = written.join('\n');
  for (const secret of secrets.filter(({ length }) => length >= MIN_SECRET_LENGTH)) {
    assert.ok(!text.includes(secret), `written down: ${secret.slice(0, 30)}…`);
  }
  assert.ok(!text.includes(CANARY), 'the canary was written down');
  assert.doesNotMatch(text, /a request met a defect/);
}
