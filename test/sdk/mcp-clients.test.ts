/** The examples for clients of MCP, each with the real package that it is for: the very files, at the sample's tools. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AgentError, type AgentOptions } from '../../src/sdk/index.ts';
import { createAgentWorld, TOOLS } from './agent-world.ts';

const world = await createAgentWorld();
const NAME = 'support-assistant';
const TOKENS_LIVE_MILLISECONDS = 300_000;

/** What the packages have in common. */
type Tools = {
  names(): Promise<string[]>;
  /** @returns the text that a model would read */
  call(name: string, given: object): Promise<string>;
  close(): Promise<void>;
};

// biome-ignore lint/suspicious/noExplicitAny: each package has types of its own
type Connected = any;

const textOf = ({ content }: { content: { text: string }[] }) => content.map(({ text }) => text).join();

const CLIENTS: Readonly<Record<string, (connected: Connected) => Tools>> = {
  mcp: (client) => ({
    names: async () => (await client.listTools()).tools.map(({ name }: { name: string }) => name),
    call: async (name, given) => textOf(await client.callTool({ name, arguments: given })),
    close: () => client.close(),
  }),
  'ai-sdk': (client) => ({
    names: async () => Object.keys(await client.tools()),
    call: async (name, given) =>
      textOf(await (await client.tools())[name].execute(given, { toolCallId: 'call_1', messages: [] })),
    close: () => client.close(),
  }),
  langchain: ({ client, tools }) => ({
    names: async () => tools.map(({ name }: { name: string }) => name),
    call: (name, given) => tools.find((tool: { name: string }) => tool.name === name).invoke(given),
    close: () => client.close(),
  }),
};

const SEARCH = ['search_documents', { query: 'refunds' }] as const;
const TICKET = ['create_ticket', { title: 'A refund', urgency: 'low' }] as const;
const PLAYBOOK = ['run_playbook', { playbook: 'rotate-logs', target: 'checkout' }] as const;

async function open(example: string, options: Partial<AgentOptions> = {}) {
  const recorder = world.recorder();
  const key = world.scopes.keys.get(NAME) as AgentOptions['key'];
  const agent = world.createAgent({ clientId: NAME, key, fetch: recorder.fetch, ...options });
  const { connectTools } = await import(new URL(`../../examples/${example}.mjs`, import.meta.url).href);
  const client = CLIENTS[example]?.(await connectTools(agent, `${TOOLS}/mcp`)) ?? assert.fail();
  return {
    ...client,
    ...recorder,
    minted: () => world.mintedBy(agent.id ?? ''),
    async close() {
      await client.close();
      await agent.close();
    },
  };
}

for (const example of Object.keys(CLIENTS)) {
  describe(`examples/${example}.mjs`, () => {
    test('calls each tool with a token for what that tool asks for, and with a proof of its own', async () => {
      const tools = await open(example);
      assert.deepEqual(await tools.names(), ['search_documents', 'create_ticket', 'run_playbook']);
      const granted = 'done for support-assistant, with a token for';
      for (const _ of [1, 2]) {
        assert.equal(await tools.call(...SEARCH), `search_documents: ${granted} tools:search:documents`);
        assert.equal(await tools.call(...TICKET), `create_ticket: ${granted} tools:create:tickets`);
      }
      assert.equal(await tools.minted(), 2, 'one for each of them');
      const through = tools.seen.filter(({ line }) => line === 'POST /mcp 200');
      assert.ok(through.every(({ headers }) => headers.get('authorization')?.startsWith('DPoP ')));
      assert.equal(new Set(through.map(({ headers }) => headers.get('dpop'))).size, through.length);
      await tools.close();
    });

    test('goes on when the server takes other nonces, and when the token is over', async () => {
      let passed = 0;
      const clock = {
        milliseconds: () => Date.now() + passed,
        monotonicMilliseconds: () => performance.now(),
        wait: async () => undefined,
      };
      const tools = await open(example, { clock });
      await tools.call(...SEARCH);
      const before = tools.lines().length;
      await world.restartTools();
      await tools.call(...SEARCH);
      const since = tools.lines().slice(before);
      assert.equal(since.filter((line) => line === 'POST /mcp 401').length, 1, since.join());
      assert.equal(await tools.minted(), 1, 'another nonce costs no token');
      passed = TOKENS_LIVE_MILLISECONDS;
      await tools.call(...SEARCH);
      assert.equal(await tools.minted(), 2);
      await tools.close();
    });

    test('tells who may grant it, when a tool asks for what this agent was not granted', async () => {
      const tools = await open(example);
      await assert.rejects(tools.call(...PLAYBOOK), (error: Error) => {
        assert.match(
          error.message,
          /scopes\/agents\/support-assistant\.yaml lists; its owner, customer-support/,
        );
        assert.match(error.message, /\(invalid_scope, request req_/);
        if (example === 'langchain') return error.name === 'ToolException'; // it keeps the text alone
        assert.ok(error instanceof AgentError);
        assert.deepEqual([error.code, error.brokerCode], ['denied', 'invalid_scope']);
        assert.match(error.hint ?? '', /customer-support, can propose a change/);
        return true;
      });
      assert.equal(await tools.minted(), 1, 'that of the list of tools');
      assert.match(await tools.call(...TICKET), /create_ticket: done/);
      await tools.close();
    });
  });
}

test('One token serves all tools of an agent that says beforehand what it is going to ask for', async () => {
  const actions = ['tools:create:tickets', 'tools:search:documents'];
  const tools = await open('mcp', { actions, resource: TOOLS });
  await tools.call(...SEARCH);
  assert.match(await tools.call(...TICKET), /with a token for tools:create:tickets tools:search:documents$/);
  assert.equal(await tools.minted(), 1);
  assert.ok(!tools.lines().includes('POST /mcp 403'));
  await tools.close();
});
