/** A server of MCP tools, Streamable HTTP without a session, behind `mayfly/verifier`: each tool is an action. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Verifier } from '../../src/verifier/index.ts';

type Message = { id?: number; method: string; params?: { name?: string; protocolVersion?: string } };

const TOOLS: Readonly<Record<string, string>> = {
  search_documents: 'tools:search:documents',
  create_ticket: 'tools:create:tickets',
};

export function createMcpRoute(verifier: Verifier) {
  const guards = new Map(
    Object.values(TOOLS).map((action) => [action, verifier.requireAction(action)] as const),
  );
  return (request: IncomingMessage & { body?: unknown }, response: ServerResponse): void => {
    if (request.method !== 'POST') return void response.writeHead(405).end();
    const message = request.body as Message;
    const action = TOOLS[message.params?.name ?? ''] ?? 'tools:search:documents';
    const guard = guards.get(action);
    guard?.(request as Parameters<typeof guard>[0], response as Parameters<typeof guard>[1], () => {
      const result = resultOf(message);
      if (message.id === undefined) return void response.writeHead(202).end();
      if (result === null) {
        const error = { code: -32601, message: 'Method not found' };
        return send(response, 404, { jsonrpc: '2.0', id: message.id, error });
      }
      send(response, 200, { jsonrpc: '2.0', id: message.id, result });
    });
  };
}

function resultOf({ method, params }: Message): object | null {
  if (method === 'initialize') {
    return {
      protocolVersion: params?.protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: 'tools', version: '1' },
    };
  }
  if (method === 'tools/list') {
    return { tools: Object.keys(TOOLS).map((name) => ({ name, inputSchema: { type: 'object' } })) };
  }
  return method === 'tools/call' ? { content: [{ type: 'text', text: `done: ${params?.name}` }] } : null;
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}
