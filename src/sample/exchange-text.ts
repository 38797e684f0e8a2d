/**
 * One exchange as a person reads it: what was sent, with proofs and assertions opened up, and what came back. A
 * token is cut short: what is worth seeing of it are its claims.
 */
import { decodeJwt } from 'jose';
import type { Exchange } from '../sdk/bound-session.ts';

/** Plain lines; the first of each side begins with an arrow. */
export function linesOfRequest({ request }: Exchange): string[] {
  const { method, url, headers, body } = request;
  const shown = Object.entries(headers).map(([name, value]): Line => [name, headerText(name, value)]);
  const isForm = headers['Content-Type'] === 'application/x-www-form-urlencoded';
  const lines = shown.filter(([name]) => name !== 'Content-Type');
  if (body !== undefined) lines.push(...(isForm ? formLines(body) : [['body', shorten(body)] as Line]));
  return [`→ ${method} ${url}`, ...aligned(lines)];
}

export function linesOfResponse({ response }: Exchange): string[] {
  const { status, headers, body } = response;
  const told = TOLD_HEADERS.flatMap((name): Line[] => {
    const value = headers.get(name);
    return value === null ? [] : [[name, name === 'WWW-Authenticate' ? challengeText(value) : value]];
  });
  return [`← ${status}`, ...aligned([...told, ...bodyLines(body)])];
}

/** A request for a nonce and what follows it, in two lines: the second request differs in nothing else. */
export function linesOfNonceRound({ response }: Exchange): string[] {
  const { status, headers } = response;
  return [
    `← ${status} use_dpop_nonce, DPoP-Nonce: ${headers.get('dpop-nonce')}`,
    '→ the same again, with that nonce in a new proof',
  ];
}

type Line = [name: string, value: string];

const TOLD_HEADERS = ['WWW-Authenticate', 'Retry-After'];
const MAX_CHARACTERS = 120;
const SHOWN_OF_A_SECRET = 16;
const UNINTERESTING = ['grant_type', 'client_assertion_type'];

function headerText(name: string, value: string): string {
  if (name === 'DPoP') return proofText(value);
  if (name === 'Authorization') return value.replace(/(?<= ).*/, cut);
  return value;
}

function proofText(proof: string): string {
  const { htm, htu, nonce, ath } = decodeJwt(proof);
  const parts = [`proof for ${htm} ${htu}`];
  if (typeof ath === 'string') parts.push('and this token');
  parts.push(typeof nonce === 'string' ? `with nonce ${nonce}` : 'without nonce');
  return parts.join(', ');
}

/** The description stands in the body too. */
function challengeText(challenge: string): string {
  return challenge.replace(/error_description="[^"]*", /, '').replace(/, algs=.*/, ', …');
}

function formLines(body: string): Line[] {
  return [...new URLSearchParams(body)]
    .filter(([name]) => !UNINTERESTING.includes(name))
    .map(([name, value]): Line => [name, name === 'client_assertion' ? assertionText(value) : value]);
}

function assertionText(assertion: string): string {
  const { iss, aud, iat = 0, exp = 0 } = decodeJwt(assertion);
  return `signed by ${iss}, for ${aud}, good for ${exp - iat} s`;
}

function bodyLines(body: string): Line[] {
  const json = jsonOf(body);
  if (typeof json.access_token === 'string')
    return [['access_token', cut(json.access_token)], ...claimLines(json.access_token)];
  if (typeof json.effect === 'string') return entryLines(json);
  return body === '' ? [] : [['body', shorten(explained(json) ?? body)]];
}

/** What an operator changed: the entry of the ledger, and who has applied it so far. */
function entryLines({ effect, epoch, target, verifiers, receipt }: Record<string, unknown>): Line[] {
  const { kind, id = '' } = target as { kind: string; id?: string };
  const points = Array.isArray(verifiers) ? verifiers : [];
  const lines: Line[] = [[String(effect), `${kind} ${id}`.trim()]];
  if (epoch !== null) lines.push(['epoch', String(epoch)]);
  for (const { resource, applied_at: at, stops_at: by } of points) {
    lines.push([at === undefined ? 'outstanding' : 'applied', `${resource}, ${at ?? `stops by ${by}`}`]);
  }
  if (typeof receipt === 'string') lines.push(['receipt', cut(receipt)]);
  return lines;
}

/** Of a refusal only what a person reads. */
function explained(json: Record<string, unknown>): string | undefined {
  const { error, error_description: description, code, title, hint } = json;
  if (typeof error === 'string') return `${error}: ${description}`;
  return typeof code === 'string' ? `${code}: ${title}${hint === undefined ? '' : `. ${hint}`}` : undefined;
}

function claimLines(token: string): Line[] {
  const { aud, scope, iat = 0, exp = 0, cnf, epoch, authorization_details: details } = decodeJwt(token);
  const { jkt } = cnf as { jkt: string };
  const lines: Line[] = [
    ['  good for', `${scope} at ${aud}, ${exp - iat} s`],
    ['  bound to', `the session's key, ${jkt}`],
    ['  epoch', String(epoch)],
  ];
  if (details !== undefined) lines.push(['  one call', shorten(JSON.stringify(details))]);
  return lines;
}

function aligned(lines: readonly Line[]): string[] {
  const width = Math.max(0, ...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `    ${name.padEnd(width)}  ${value}`);
}

function cut(secret: string): string {
  return `${secret.slice(0, SHOWN_OF_A_SECRET)}… (${secret.length} characters)`;
}

function shorten(text: string): string {
  return text.length <= MAX_CHARACTERS ? text : `${text.slice(0, MAX_CHARACTERS)}…`;
}

export function jsonOf(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
