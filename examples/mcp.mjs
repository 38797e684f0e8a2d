/**
 * Tools of an MCP server, called with tokens of mayfly: the transport gets the agent's `fetch` in place of its own, and
 * nothing else changes. With the TypeScript SDK of MCP (@modelcontextprotocol/client) and mayfly installed, here at the
 * tools of the sample server:
 *
 *     node examples/mcp.mjs http://127.0.0.1:8421/mcp
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

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const { openAgent } = await import('./open-agent.mjs');
  const agent = openAgent();
  const client = await connectTools(agent, process.argv[2] ?? '');
  const { tools } = await client.listTools();
  const { content } = await client.callTool({ name: 'search_documents', arguments: { query: 'refunds' } });
  process.stdout.write(`${tools.map(({ name }) => name).join('\n')}\n${content[0].text}\n`);
  await client.close();
  await agent.close();
}
