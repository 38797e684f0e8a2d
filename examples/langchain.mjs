/**
 * Tools of an MCP server for LangChain and LangGraph, called with tokens of mayfly. `MultiServerMCPClient` takes no `fetch`
 * and makes no proofs, so the client of MCP is connected here, and LangChain loads the tools from it: what comes out is
 * what `createAgent({ model, tools })` of LangChain takes. With @langchain/mcp-adapters, the @modelcontextprotocol/sdk
 * that it depends on, and mayfly installed, here at the tools of the sample server:
 *
 *     node examples/langchain.mjs http://127.0.0.1:8421/mcp
 */
import { loadMcpTools } from '@langchain/mcp-adapters';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

/**
 * @param {{ fetch: typeof fetch }} agent
 * @param {string} url
 */
export async function connectTools(agent, url) {
  const client = new Client({ name: 'an-agent', version: '1.0.0' });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { fetch: agent.fetch }));
  return { client, tools: await loadMcpTools('tools', client) };
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const { openAgent } = await import('./open-agent.mjs');
  const agent = openAgent();
  const { client, tools } = await connectTools(agent, process.argv[2] ?? '');
  const [search] = tools.filter(({ name }) => name === 'search_documents');
  const told = await search.invoke({ query: 'refunds' });
  process.stdout.write(`${tools.map(({ name }) => name).join('\n')}\n${told}\n`);
  await client.close();
  await agent.close();
}
