/**
 * Tools for models: MCP's Streamable HTTP without sessions, at one path. Each tool is an action, so a call needs a token
 * for what that very tool does; without one the challenge says which. To see which tools there are takes the least of them.
 */
import type { ServerResponse } from 'node:http';
import type { NodeRequest, Verifier } from '../verifier/index.ts';

export const SEARCH_DOCUMENTS = 'tools:search:documents';

/** A call with a token for one call alone is not something that clients of MCP make: `run_playbook` is there to refuse. */
const TOOLS = [
  {
    name: 'search_documents',
    action: SEARCH_DOCUMENTS,
    description: 'Search the internal documentation',
    properties: { query: { type: 'string' } },
  },
  {
    name: 'create_ticket',
    action: 'tools:create:tickets',
    description: 'Open a support ticket',
    properties: { title: { type: 'string' }, urgency: { enum: ['low', 'normal', 'high'] } },
  },
  {
    name: 'run_playbook',
    action: 'tools:run:playbooks',
    description: 'Run a playbook against production',
    properties: { playbook: { type: 'string' }, target: { type: 'string' } },
  },
] as const;

type Message = {
  id?: string | number;
  method?: string;
  params?: { name?: unknown; protocolVersion?: string };
};

/** Mount it after the parser of JSON. */
export function createToolsRoute(
  verifier: Verifier,
): (request: NodeRequest, response: ServerResponse, next?: (error?: unknown) => void) => void {
  const guardOf = new Map(TOOLS.map(({ name, action }) => [name as unknown, guardFor(verifier, action)]));
  const leastGuard = guardFor(verifier, SEARCH_DOCUMENTS);

  function answer(request: NodeRequest, response: ServerResponse): void {
    const message = messageOf(request);
    if (message.id === undefined) return void response.writeHead(202).end();
    const { claims } = verifier.grantOf(request);
    const result = resultOf(message, `for ${claims.client_id}, with a token for ${claims.scope}`);
    const error = { code: -32601, message: 'Method not found' };
    const told = result === null ? { error } : { result };
    send(response, result === null ? 404 : 200, { jsonrpc: '2.0', id: message.id, ...told });
  }

  return (request, response, next = () => undefined) => {
    const { method, params } = messageOf(request);
    const guard = (method === 'tools/call' && guardOf.get(params?.name)) || leastGuard;
    guard(request, response, (error) => (error === undefined ? answer(request, response) : next(error)));
  };
}

function guardFor(verifier: Verifier, action: string) {
  return verifier.requireAction(action, { requestToken: action === 'tools:run:playbooks' });
}

function messageOf({ body }: NodeRequest): Message {
  return typeof body === 'object' && body !== null ? body : {};
}

function resultOf({ method, params }: Message, granted: string): object | null {
  if (method === 'initialize') {
    const serverInfo = { name: 'mayfly-sample-tools', version: '1' };
    return { protocolVersion: params?.protocolVersion, capabilities: { tools: {} }, serverInfo };
  }
  if (method === 'tools/list') return { tools: TOOLS.map(describe) };
  if (method !== 'tools/call') return null;
  const isKnown = TOOLS.some(({ name }) => name === params?.name);
  const text = isKnown ? `${params?.name}: done ${granted}` : 'There is no such tool.';
  return { content: [{ type: 'text', text }], isError: !isKnown };
}

function describe({ name, description, properties }: (typeof TOOLS)[number]): object {
  const required = Object.keys(properties);
  return { name, description, inputSchema: { type: 'object', properties, required } };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}
