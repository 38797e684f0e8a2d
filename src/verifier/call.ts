/**
 * The one call that a request token is for: `authorization_details` of type `mayfly_call` (RFC 9396 §9.1). A token
 * that carries such details is good for that call only, and one whose details are not understood is good for
 * nothing: a limit that nobody enforces is no limit.
 */
import { normaliseTarget } from '../dpop/target-url.ts';
import { isJsonObject } from '../json/strict-json.ts';
import { digestOfArguments } from './call-arguments.ts';
import { refuse } from './refusal.ts';
import type { TokenClaims } from './token.ts';

export type Call = {
  type: 'mayfly_call';
  action: string;
  method: string;
  /** Absolute, with its query. */
  url: string;
  arguments_digest: string;
};

const MEMBERS = ['action', 'arguments_digest', 'method', 'type', 'url'];

/** @returns null for a token of a session @throws {VerifierRefusal} */
export function callOf({ authorization_details: details }: TokenClaims): Call | null {
  if (details === undefined) return null;
  const call: unknown = Array.isArray(details) && details.length === 1 ? details[0] : null;
  if (!isJsonObject(call) || call.type !== 'mayfly_call') refuse('call_unreadable');
  const names = Object.keys(call).sort();
  const isComplete = names.length === MEMBERS.length && names.every((name, index) => name === MEMBERS[index]);
  if (!isComplete || names.some((name) => typeof call[name] !== 'string')) refuse('call_unreadable');
  return call as Call;
}

/**
 * @param request `url` is the public URL of this request with its query
 * @throws {VerifierRefusal} when the request is another call
 */
export function checkCall(
  call: Call,
  request: { action: string; method: string; url: string; arguments: unknown },
): void {
  const hint = 'A request token is good for the one call that it names.';
  if (call.action !== request.action) refuse('call_of_another_action', { hint });
  if (call.method !== request.method) refuse('call_of_another_method', { hint });
  const url = spellingOf(call.url);
  if (url === null || url !== spellingOf(request.url)) refuse('call_of_another_url', { hint });
  if (call.arguments_digest !== digestOfArguments(request.arguments)) {
    refuse('call_of_other_arguments', {
      hint: 'The arguments are not those that the token was asked for: compare the RFC 8785 digest.',
    });
  }
}

/** Normalised like a proof's `htu`, and the query byte for byte: `?a=1&b=2` and `?b=2&a=1` are two calls. */
function spellingOf(url: string): string | null {
  const target = normaliseTarget(url);
  const start = url.indexOf('?');
  return target === null || start < 0 ? target : `${target}${url.slice(start)}`;
}
