/**
 * Tools of an MCP server for the Vercel AI SDK, called with tokens of mayfly: the transport gets the agent's `fetch`.
 * What comes out is what `generateText({ model, tools })` takes. With @ai-sdk/mcp and mayfly installed, here at the tools
 * of the sample server:
 *
 *     node examples/ai-sdk.mjs http://127.0.0.1:8421/mcp
 */
import { createMCPClient } from '@ai-sdk/mcp';

/**
 * @param {{ fetch: typeof fetch }} agent
 * @param {string} url
 */
export function connectTools(agent, url) {
  return createMCPClient({ transport: { type: 'http', url, fetch: agent.fetch } });
}

if (import.meta.main ?? process.argv[1] === import.meta.filename) {
  const { openAgent } = await import('./open-agent.mjs');
  const agent = openAgent();
  const client = await connectTools(agent, process.argv[2] ?? '');
  const tools = await client.tools();
  const { content } = await tools.search_documents.execute({ query: 'refunds' });
  process.stdout.write(`${Object.keys(tools).join('\n')}\n${content[0].text}\n`);
  await client.close();
  await agent.close();
}
