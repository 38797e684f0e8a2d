/**
 * What a token request asks for, out of the form of RFC 6749 §4.4.2 with `resource` (RFC 8707),
 * `authorization_details` (RFC 9396) and mayfly's own `ttl_seconds`. Only the shape is judged here.
 */
import { refuse } from '../errors/refusal.ts';
import type { Form } from '../http/form.ts';
import { type Call, parseCall } from './call.ts';

export type TokenRequest = {
  /** Names as they were asked for; whether they exist is decided later. Empty when only a call was given. */
  actions: readonly string[];
  resource: string | undefined;
  call: Call | undefined;
  ttlSeconds: number | undefined;
};

export const MIN_LIFETIME_SECONDS = 60;
export const MAX_LIFETIME_SECONDS = 900;

const MAX_SCOPE_LENGTH = 4_096;
const MAX_ACTIONS = 100;

/** RFC 6749 §3.3: tokens of %x21 / %x23-5B / %x5D-7E, single spaces between. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*$/;

/** @throws {Refusal} */
export function parseTokenRequest(form: Form): TokenRequest {
  const grantType =
    form.one('grant_type') ?? refuse('parameter_missing', { hint: 'grant_type is required.' });
  if (grantType !== 'client_credentials') {
    refuse('grant_type_unsupported', { hint: 'The grant type here is client_credentials.' });
  }
  const details = form.one('authorization_details');
  const call = details === undefined ? undefined : parseCall(details);
  return {
    actions: parseScope(form.one('scope'), call),
    resource: parseResource(form.all('resource')),
    call,
    ttlSeconds: parseTtl(form.one('ttl_seconds')),
  };
}

function parseScope(scope: string | undefined, call: Call | undefined): readonly string[] {
  if (scope === undefined) {
    if (call !== undefined) return [call.action];
    refuse('scope_missing', { hint: 'Name the actions in scope, separated by single spaces.' });
  }
  if (scope.length > MAX_SCOPE_LENGTH || !SCOPE.test(scope)) {
    refuse('scope_malformed', {
      hint: 'scope is names of actions with single spaces between (RFC 6749 section 3.3).',
    });
  }
  const actions = [...new Set(scope.split(' '))];
  if (actions.length > MAX_ACTIONS) refuse('scope_malformed', { hint: `At most ${MAX_ACTIONS} actions.` });
  if (call !== undefined && (actions.length > 1 || actions[0] !== call.action)) {
    refuse('scope_malformed', {
      hint: 'With authorization_details, scope is the action of the call or left out.',
    });
  }
  return actions;
}

/** One token is for one audience, so that no action can be read at a resource that it was not meant for. */
function parseResource(values: readonly string[]): string | undefined {
  const [resource, ...more] = values;
  if (more.length > 0)
    refuse('resource_malformed', { hint: 'One token is for one resource: give resource once.' });
  return resource;
}

function parseTtl(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^[1-9]\d{1,2}$/.test(value) ? Number(value) : 0;
  if (seconds >= MIN_LIFETIME_SECONDS && seconds <= MAX_LIFETIME_SECONDS) return seconds;
  refuse('parameter_invalid', {
    hint: `ttl_seconds is a whole number from ${MIN_LIFETIME_SECONDS} to ${MAX_LIFETIME_SECONDS}.`,
  });
}
