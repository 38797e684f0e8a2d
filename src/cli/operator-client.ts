/**
 * An operator at the management API, with nothing that any other client could not do: a token for the one action
 * that a command needs, bound to a key that was made for this run, and a proof for each request. Nothing is kept on
 * disk, and the session ends with the command.
 */
import type { ManagementAction } from '../operators/management-actions.ts';
import { AgentError } from '../sdk/agent-error.ts';
import { type BoundSession, type Exchange, openSession } from '../sdk/bound-session.ts';
import { type Client, createClient } from '../sdk/client.ts';
import { type Broker, discoverBroker } from '../sdk/discover-broker.ts';
import { CommandFailure, EXIT, fail, refusedBy, unreachable } from './failure.ts';
import type { Identity } from './operator-identity.ts';

export type Json = Readonly<Record<string, unknown>>;

export type ManagementRequest = {
  may: ManagementAction;
  method: 'GET' | 'POST';
  path: string;
  query?: Readonly<Record<string, string>>;
  body?: object;
  /** What it is about, in words: `the session ses_1`. */
  about?: string;
  /** Sent with what changes something, so that it can be sent again and happens once. */
  idempotencyKey?: string;
};

export type ManagementAnswer = { status: number; body: Json; requestId: string | null };

export type OperatorClient = {
  name: string;
  issuer: string;
  /** @throws {CommandFailure} for every answer that is none of success */
  ask(request: ManagementRequest): Promise<ManagementAnswer>;
  /** Ends the session, if one was opened, as well as that can be done quickly. Never rejects. */
  close(): Promise<void>;
};

type Connected = { client: Client; session: BoundSession };
type HeldToken = { text: string; renewAtMilliseconds: number };

/** Tokens are renewed when so much of their life is over. */
const USED_SHARE = 0.8;
/** For the goodbye, which costs a few milliseconds where the broker is well. */
const END_MILLISECONDS = 100;

export function createOperatorClient({ issuer, name, key }: Identity): OperatorClient {
  const tokens = new Map<ManagementAction, HeldToken>();
  let connection: Promise<Connected> | undefined;

  async function connect(): Promise<Connected> {
    const { tokenEndpoint } = await findBroker(issuer);
    const client = await createClient({ issuer, name, key, tokenEndpoint }).catch(() =>
      fail('usage', `The key of ${name} is no P-256 or Ed25519 key.`),
    );
    return { client, session: await openSession() };
  }

  async function tokenFor({ client, session }: Connected, may: ManagementAction): Promise<string> {
    const held = tokens.get(may);
    if (held !== undefined && performance.now() < held.renewAtMilliseconds) return held.text;
    const askedAt = performance.now();
    const exchanges = await reach(issuer, () => client.askForToken(session, { scope: may }));
    const { body } = answerOf(exchanges, { as: name });
    const { access_token: text, expires_in: seconds } = body;
    if (typeof text !== 'string' || typeof seconds !== 'number') return notUnderstood();
    tokens.set(may, { text, renewAtMilliseconds: askedAt + seconds * 1_000 * USED_SHARE });
    return text;
  }

  return {
    name,
    issuer,
    async ask(request) {
      connection ??= connect();
      const connected = await connection;
      const token = await tokenFor(connected, request.may);
      const wire = { ...wireOf(request, issuer, token), token };
      const exchanges = await reach(issuer, () => connected.session.send(wire));
      return answerOf(exchanges, { as: name, about: request.about });
    },
    async close() {
      if (tokens.size === 0 || connection === undefined) return;
      tokens.clear();
      const { client, session } = await connection;
      // Whether anybody answers or not: tokens of it end within minutes, and their key was never written down.
      await client.endSession(session, { withinMilliseconds: END_MILLISECONDS }).catch(() => undefined);
    },
  };
}

async function findBroker(issuer: string): Promise<Broker> {
  try {
    return (await discoverBroker(issuer)) ?? fail('unreachable', `No broker answers at ${issuer}.`);
  } catch (error) {
    if (error instanceof AgentError) throw new CommandFailure(EXIT.unreachable, textOf(error));
    throw error;
  }
}

function textOf({ message, hint }: AgentError): string {
  return hint === undefined ? message : `${message} ${hint}`;
}

function wireOf(
  { method, path, query = {}, body, idempotencyKey }: ManagementRequest,
  issuer: string,
  token: string,
): Exchange['request'] {
  const search = new URLSearchParams(query).toString();
  return {
    method,
    url: `${issuer}${path}${search === '' ? '' : `?${search}`}`,
    headers: {
      Authorization: `DPoP ${token}`,
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  };
}

/** Twice, when a connection breaks: each attempt has proofs of its own, and a change its idempotency key. */
async function reach<T>(issuer: string, exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange().catch(exchange);
  } catch (error) {
    throw unreachable(issuer, error);
  }
}

/** @throws {CommandFailure} */
function answerOf(
  exchanges: readonly Exchange[],
  asked: { as: string; about?: string | undefined },
): ManagementAnswer {
  const { status, headers, body: text } = exchanges.at(-1)?.response ?? notUnderstood();
  const requestId = headers.get('request-id');
  const body = objectOf(text);
  if (status >= 200 && status < 300) return { status, body: body ?? notUnderstood(), requestId };
  throw refusedBy({ status, body: body ?? {}, requestId, date: headers.get('date'), ...asked });
}

function objectOf(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : null;
  } catch {
    return null;
  }
}

function notUnderstood(): never {
  return fail('server', 'What came back is no answer of a broker.');
}
