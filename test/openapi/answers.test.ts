/**
 * Every answer that can be provoked over HTTP, held against what the document says of that status of that
 * operation: media type, members, codes, headers. At the end the table is held against the document: what nobody
 * provoked has to be named there, with the reason.
 */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import './answers/tokens.ts';
import './answers/spending.ts';
import './answers/managed.ts';
import './answers/kill-switch.ts';
import './answers/ledger.ts';
import { READS } from './answers/reads.ts';
import './answers/troubles.ts';
import { codes, seen } from './answers/asked.ts';
import { operations } from './contract.ts';

/** No shipped action gives AWS credentials; test/aws/answers.test.ts holds these to the document. */
const OF_AWS = /\/v1\/aws|openid-configuration|mayfly-aws-jwks/;

after(() => {
  const described = operations().flatMap(({ method, path, operation }) =>
    Object.keys(operation.responses).map((status) => `${method} ${path} ${status}`),
  );
  const unseen = described.filter((answer) => !seen.has(answer) && !OF_AWS.test(answer));
  // Behind these nothing can go wrong but a defect that nobody knows how to provoke.
  assert.deepEqual(unseen.sort(), READS.map(([operation]) => `${operation} 500`).sort());
  const elsewhere = ['method_not_allowed', 'aws_refused'];
  const silent = Object.keys(REFUSAL_CODES).filter((code) => !codes.has(code) && !elsewhere.includes(code));
  assert.deepEqual(silent, []);
});
