/**
 * A witness over HTTP (C2SP tlog-witness): `POST /add-checkpoint`. One request at a time is decided, kept and answered:
 * two that were decided on one state could each be signed, and that is the fork which a witness is there to refuse.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { SigningKey } from '../audit/sign-note.ts';
import type { VerifierKey } from '../audit/verifier-key.ts';
import {
  decideAddCheckpoint,
  formatCosignature,
  MAX_ADD_CHECKPOINT_BYTES,
  TREE_SIZE_TYPE,
  type WitnessDecision,
} from '../audit/witness.ts';
import type { WitnessState } from './witness-state.ts';

type Reply = { status: number; body: string; type?: string };

const PATH = '/add-checkpoint';
const HEADERS_MILLISECONDS = 5_000;
const REQUEST_MILLISECONDS = 10_000;
const MAX_CONNECTIONS = 256;

export function createWitnessServer(options: {
  signer: SigningKey;
  /** By origin. */
  logs: ReadonlyMap<string, readonly VerifierKey[]>;
  state: WitnessState;
  nowSeconds: () => number;
  onFailure: (error: unknown) => void;
}): Server {
  const { signer, logs, state, nowSeconds, onFailure } = options;

  function logOf(origin: string) {
    const keys = logs.get(origin);
    return keys === undefined ? null : { keys, latest: state.latest(origin) };
  }

  /** Without a pause between reading the state and having kept the next: nobody else gets in. */
  function decideAndKeep(body: Buffer): Reply {
    const decision = decideAddCheckpoint(body, logOf);
    if (decision.status !== 200) return refusal(decision);
    const { checkpoint, text, note } = decision;
    state.keep(checkpoint.origin, { size: checkpoint.size, root: checkpoint.root, note });
    return { status: 200, body: formatCosignature(text, { signer, timestampSeconds: nowSeconds() }) };
  }

  async function reply(request: IncomingMessage): Promise<Reply> {
    if (request.url !== PATH) return { status: 404, body: `There is ${PATH} here, and nothing else.\n` };
    if (request.method !== 'POST') return { status: 405, body: 'Only POST.\n' };
    const body = await bodyOf(request);
    if (body === null) return { status: 413, body: `At most ${MAX_ADD_CHECKPOINT_BYTES} bytes.\n` };
    return decideAndKeep(body);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      write(response, await reply(request));
    } catch (error) {
      if (request.destroyed && !request.complete) return;
      onFailure(error);
      write(response, { status: 500, body: 'This could not be kept, and is not signed.\n' });
    }
  }

  const server = createServer(
    { headersTimeout: HEADERS_MILLISECONDS, requestTimeout: REQUEST_MILLISECONDS },
    (request, response) => void answer(request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  return server;
}

function refusal(decision: Exclude<WitnessDecision, { status: 200 }>): Reply {
  if (decision.status !== 409) return { status: decision.status, body: `${decision.why}\n` };
  return { status: 409, body: `${decision.latestSize}\n`, type: TREE_SIZE_TYPE };
}

/** Null when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > MAX_ADD_CHECKPOINT_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** What was not read to its end leaves its connection in no state for a next request. */
function write(response: ServerResponse, { status, body, type = 'text/plain; charset=utf-8' }: Reply): void {
  if (response.destroyed) return;
  const isDone = response.req.complete;
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'X-Content-Type-Options': 'nosniff',
    ...(status === 405 && { Allow: 'POST' }),
    ...(!isDone && { Connection: 'close' }),
  });
  response.end(body);
}
