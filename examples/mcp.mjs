/**
 * Tools of an MCP server, called with tokens of mayfly: the transport gets the agent's `fetch` in place of its own, and
 * nothing else changes. With the TypeScript SDK of MCP (@modelcontextprotocol/client) and mayfly installed:
 *
 *     ISSUER=https://mayfly.example.com CLIENT_ID=support-assistant KEY_FILE=key.json \
 *       node examples/mcp.mjs https://tools.example.com/mcp
 */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

/**
 * @param {{ fetch: typeof fetch }} agent
 * @param {string} url
 */
export async function connectTools(agent, url) {
  const client = new Client({ name: 'an-agent', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: agent.fetch }));
  return client;
}

if (import.meta.main) {
  const { createAgent } = await import('mayfly/agent');
  const { keyFromEnvironment } = await import('mayfly/agent/node');
  const { ISSUER: issuer = '', CLIENT_ID: clientId = '' } = process.env;
  const agent = createAgent({ issuer, clientId, key: keyFromEnvironment('KEY') });
  const client = await connectTools(agent, process.argv[2] ?? '');
  const { tools } = await client.listTools();
  process.stdout.write(`${tools.map(({ name }) => name).join('\n')}\n`);
  await client.close();
  await agent.close();
}
