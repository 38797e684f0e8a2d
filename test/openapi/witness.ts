import assert from 'node:assert/strict';
import { REFUSAL_CODES } from '../../src/errors/refusal-codes.ts';
import { type Answer, complaints, operations, responseOf } from './contract.ts';

const SHOWN_CHARACTERS = 500;

/** Holds answers against the document, and remembers which of the described ones it has seen. */
export function createWitness() {
  const seen = new Set<string>();
  const codes = new Set<string>();

  /**
   * Asserts that this is an answer that the operation is described with, in every part.
   * @param expected status and code: `200`, `400 invalid_scope`
   * @returns the body when it is JSON
   */
  function hold(operation: string, expected: string, answer: Answer): Record<string, unknown> {
    const shown = answer.body.slice(0, SHOWN_CHARACTERS);
    const described = operations().find(({ method, path }) => `${method} ${path}` === operation);
    assert.ok(described, `${operation} is not described`);
    const response = responseOf(described, answer.status);
    assert.ok(response, `${operation} ${answer.status} is not described: ${shown}`);
    assert.deepEqual(complaints(answer, response), [], shown);
    const isJson = answer.headers.get('content-type')?.[0]?.includes('json') === true;
    const body = isJson ? JSON.parse(answer.body) : {};
    assert.equal(`${answer.status} ${body.code ?? ''}`.trim(), expected, shown);
    if (body.code !== undefined) holdRefusal(body, answer);
    seen.add(`${operation} ${answer.status}`);
    codes.add(body.code);
    return body;
  }

  return { hold, seen, codes };
}

/** What no schema says: that the members of a refusal belong together. */
function holdRefusal(body: Record<string, unknown>, { status, headers }: Answer): void {
  const { code, error, request_id: requestId } = body;
  const told: { status: number; statusWithToken?: number; error: string } = REFUSAL_CODES[
    code as keyof typeof REFUSAL_CODES
  ] ?? { status: 500, error: 'server_error' };
  assert.ok([told.status, told.statusWithToken].includes(status), `${status} ${code}`);
  assert.equal(requestId, headers.get('request-id')?.[0]);
  if (error === undefined) {
    assert.equal(body.type, `urn:mayfly:problem:${code}`);
    assert.equal(body.status, status);
  } else {
    assert.equal(error, told.error);
  }
}
