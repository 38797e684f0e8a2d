/** What programs of a run ask for: what one request carries, or a token to look at. */
import { isAction } from '../sdk/challenge.ts';
import type { AgentToken } from '../sdk/shown-token.ts';
import type { Guard } from './bearer.ts';
import type { Verb } from './local-endpoint.ts';
import type { Json } from './read-request.ts';
import { refuseHere } from './refused-here.ts';
import type { AskedCredentials, AskedToken, RunTokens } from './run-tokens.ts';

const MAX_ACTIONS = 100;
const MAX_URL_CHARACTERS = 2_048;
/** RFC 9110 §9.1, of a sane length. */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/;
/** RFC 9449 §8.1: NQCHAR. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/;

/** @param guard of both */
export function tokenVerbs({ tokens, guard }: { tokens: RunTokens; guard: Guard }): readonly Verb[] {
  return [
    {
      method: 'POST',
      name: 'credentials',
      guard,
      async work(body, signal) {
        const { token, authorization, dpop } = await tokens.credentials(readCredentials(body), signal);
        return { authorization, dpop, expires_in: secondsLeft(token) };
      },
    },
    {
      method: 'POST',
      name: 'token',
      guard,
      async work(body, signal) {
        const token = await tokens.token(readToken(body), signal);
        return {
          access_token: token.accessToken,
          token_type: 'DPoP',
          expires_in: secondsLeft(token),
          scope: token.actions.join(' '),
          session_id: token.sessionId,
        };
      },
    },
  ];
}

function secondsLeft({ expiresAt }: AgentToken): number {
  return Math.max(0, Math.floor((expiresAt - Date.now()) / 1_000));
}

function readCredentials(body: Json): AskedCredentials {
  const { method, url, nonce, ...rest } = body;
  if (typeof method !== 'string' || !METHOD.test(method)) {
    refuseHere('invalid_request', 'method is that of the request: "GET".');
  }
  if (nonce !== undefined && !(typeof nonce === 'string' && NONCE.test(nonce))) {
    refuseHere('invalid_request', 'nonce is the value of a DPoP-Nonce header.');
  }
  return { method, url: readUrl(url), nonce, ...readToken(rest) };
}

function readUrl(url: unknown): URL {
  const isUrl = typeof url === 'string' && url.length <= MAX_URL_CHARACTERS && URL.canParse(url);
  const parsed = isUrl ? new URL(url) : null;
  if (parsed !== null && /^https?:$/.test(parsed.protocol)) return parsed;
  return refuseHere('invalid_request', 'url is that of the request, whole: "https://…".');
}

function readToken({ actions, resource, ...others }: Json): AskedToken {
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) refuseHere('invalid_request', 'There is a member that nobody knows here.');
  if (actions !== undefined && !isListOfActions(actions)) {
    refuseHere('invalid_request', 'actions is a list of names like "db:read:customers".');
  }
  if (resource !== undefined && typeof resource !== 'string') {
    refuseHere('invalid_request', 'resource is a URL, as the catalogue or the resource itself says it.');
  }
  return { actions, resource };
}

function isListOfActions(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_ACTIONS && value.every(isAction);
}
