/** Resource servers of somebody who installed the package, each in a process of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { tokenHash } from '../../src/dpop/proof.ts';
import { cleanEnvironment, freePort, until } from '../broker-process.ts';
import { createTestAgent, newSessionKey } from '../test-agent.ts';
import { type Installed, runBeside, type Where } from './installed-package.ts';
import { writeReadmeServers } from './readme-server.ts';

/** A resource server of somebody who installed the package, in a process of its own that ends by itself. */
export async function askWithInstalledVerifier(
  { folder, project }: Installed,
  { issuer, node }: Where,
): Promise<unknown> {
  const script = `
    import { readFileSync } from 'node:fs';
    import { createVerifier } from 'mayfly/verifier';
    const key = JSON.parse(readFileSync(${JSON.stringify(join(folder, 'data', 'keys', 'customers.jwk.json'))}, 'utf8'));
    const verifier = createVerifier({ issuer: '${issuer}', resource: 'https://customers.example.com', key });
    await verifier.ready();
    const guarded = verifier.guard({ action: 'db:read:customers' }, () => new Response('in'));
    const response = await guarded(new Request('https://customers.example.com/customers'));
    const { serving, feed } = verifier.status();
    await verifier.close();
    const told = ['connected', 'disconnected'].includes(feed) ? 'connected or not' : feed;
    process.stdout.write(JSON.stringify([serving.LOW, told, response.status]));
  `;
  writeFileSync(join(project, 'verify.js'), script);
  return JSON.parse(await runBeside(node, ['verify.js'], project));
}

type Answer = [status: number, headers: Record<string, string>, body: Record<string, unknown>];

/** An agent with a token, who takes the nonce that it is given. */
async function createCustomer(folder: string, issuer: string, url: string) {
  const key = JSON.parse(readFileSync(join(folder, 'data', 'keys', 'report-writer.jwk.json'), 'utf8'));
  const agent = createTestAgent({ url: issuer, issuer, clientId: 'report-writer', key });
  const session = newSessionKey();
  const { body } = await agent.token(session);
  const token: string = body.access_token;
  const headersWith = (nonce: string | undefined) => ({
    Authorization: `DPoP ${token}`,
    DPoP: agent.proof(session, { claims: { htm: 'GET', htu: url, ath: tokenHash(token), nonce } }),
  });
  return async (ask: (headers: Record<string, string>) => Promise<Answer>): Promise<Answer> => {
    const first = await ask(headersWith(undefined));
    return first[1]['dpop-nonce'] === undefined ? first : ask(headersWith(first[1]['dpop-nonce']));
  };
}

/** What the README says to somebody who writes a resource server, done to the letter. */
export async function tryReadme({ folder, project }: Installed, { issuer, node }: Where): Promise<void> {
  const port = await freePort();
  const place = { brokerPort: Number(new URL(issuer).port), dataFolder: join(folder, 'data'), port };
  const programs = writeReadmeServers(project, place);
  const url = `http://127.0.0.1:${port}/customers`;
  const asCustomer = await createCustomer(folder, issuer, url);
  const start = (program: string) =>
    spawn(node, [program], {
      cwd: project,
      env: cleanEnvironment({}),
      stdio: ['pipe', 'pipe', 'inherit'],
    });

  const server = start(programs.express);
  const overHttp = async (headers: Record<string, string>): Promise<Answer> => {
    const response = await fetch(url, { headers });
    return [response.status, Object.fromEntries(response.headers), (await response.json()) as Answer[2]];
  };
  await until(
    async () => (await overHttp({}).catch(() => [0]))[0] === 401,
    'the server of the README asks for a token',
  );
  const isLetIn = async () => (await asCustomer(overHttp))[0] === 200;
  await until(isLetIn, 'it has its lease');
  assert.deepEqual((await asCustomer(overHttp))[2], { customers: [], for: 'report-writer' });
  const metadataUrl = `http://127.0.0.1:${port}/.well-known/oauth-protected-resource`;
  const metadata = (await (await fetch(metadataUrl)).json()) as Answer[2];
  assert.deepEqual(
    [metadata.resource, metadata.authorization_servers, metadata.scopes_supported],
    ['https://customers.example.com', [issuer], ['db:read:customers']],
  );
  server.kill();

  const handler = start(programs.fetch);
  const lines = createInterface({ input: handler.stdout })[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'ready');
  const askHandler = async (asked: object): Promise<Answer> => {
    handler.stdin.write(`${JSON.stringify(asked)}\n`);
    return JSON.parse((await lines.next()).value ?? 'null');
  };
  const ofHandler = (headers: Record<string, string>) => askHandler({ url, headers });
  assert.deepEqual((await askHandler({ url: metadataUrl, headers: {} }))[2], metadata);
  assert.equal((await ofHandler({}))[0], 401);
  const [status, , body] = await asCustomer(ofHandler);
  assert.deepEqual([status, body], [200, { customers: [], for: 'report-writer' }]);
  const ended = new Promise((resolve) => handler.once('exit', resolve));
  handler.stdin.end();
  assert.equal(await ended, 0);
}
