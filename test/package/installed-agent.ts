/** Agents of somebody who installed the package, on a Node of his own. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Installed, run, runBeside, type Where } from './installed-package.ts';

const sampleOf = (issuer: string) => issuer.replace(/\d+$/, (port) => String(Number(port) + 1));
const keyOf = ({ folder }: Installed, name: string) => join(folder, 'data', 'keys', `${name}.jwk.json`);

/** Writes down what goes over the wire; the token of a minute is over after its first call. */
const PROGRAM = `
  import { AgentError, createAgent } from 'mayfly/agent';
  import { keyFromFile } from 'mayfly/agent/node';
  const [, , issuer, sample, key] = process.argv;
  const lines = [];
  let passed = 0;
  const agent = createAgent({
    issuer,
    clientId: 'report-writer',
    key: keyFromFile(key),
    tokenLifetimeSeconds: 60,
    clock: {
      milliseconds: () => Date.now() + passed,
      monotonicMilliseconds: () => performance.now(),
      wait: async () => undefined,
    },
    async fetch(url, init) {
      const response = await fetch(url, init);
      const { pathname } = new URL(url);
      if (!pathname.startsWith('/.well-known/')) lines.push([init.method ?? 'GET', pathname, response.status].join(' '));
      return response;
    },
  });
  await agent.fetch(sample + '/customers');
  passed = 60_000;
  await agent.fetch(sample + '/customers');
  const json = { name: 'weekly', format: 'csv' };
  await agent.call({ action: 'storage:write:exports', url: sample + '/exports', arguments: json });
  const refused = await agent.token({ actions: ['db:delete:customers'] }).catch((error) => error);
  await agent.close();
  const told = [refused instanceof AgentError, refused.code];
  process.stdout.write(JSON.stringify({ version: process.versions.node, lines, told }));
`;

const NONCE_AND_CALL = ['POST /oauth/token 400', 'POST /oauth/token 200'];

export async function tryAgent(installed: Installed, { issuer, node }: Where): Promise<void> {
  writeFileSync(join(installed.project, 'agent.js'), PROGRAM);
  const given = [issuer, sampleOf(issuer), keyOf(installed, 'report-writer')];
  const printed = await runBeside(node, ['agent.js', ...given], installed.project);
  const { version, lines, told } = JSON.parse(printed);
  assert.equal(`v${version}`, run(node, ['--version'], installed.project).trim());
  const end = 'POST /v1/sessions/current/revoke 20'; // 202 while a verifier that went away is waited for
  assert.equal(lines.pop().slice(0, end.length), end);
  assert.deepEqual(lines, [
    'GET /customers 401',
    ...NONCE_AND_CALL,
    'GET /customers 401',
    'GET /customers 200',
    'POST /oauth/token 200',
    'GET /customers 200',
    'POST /oauth/token 200',
    'POST /exports 201',
    'POST /oauth/token 400',
  ]);
  assert.deepEqual(told, [true, 'denied']);
}

const EXAMPLES = ['mcp', 'ai-sdk', 'langchain'];

/** To the letter of their first comment; the environment says where this broker is. */
export async function tryExamples(installed: Installed, { issuer, node }: Where): Promise<void> {
  const settings = { ISSUER: issuer, KEY_FILE: keyOf(installed, 'support-assistant') };
  for (const name of EXAMPLES) {
    const program = join('node_modules', 'mayfly', 'examples', `${name}.mjs`);
    const told = await runBeside(node, [program, `${sampleOf(issuer)}/mcp`], installed.project, settings);
    assert.deepEqual(told.trim().split('\n'), [
      'search_documents',
      'create_ticket',
      'run_playbook',
      'search_documents: done for support-assistant, with a token for tools:search:documents',
    ]);
  }
}
