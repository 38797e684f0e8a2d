/** `mayfly run --proxy` with programs that know nothing of mayfly: they ask for http://, and the resource speaks https. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ACTION, LARGE, type Pages } from './pages.ts';
import { nodeProgram } from './run-world.ts';

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

function isThere(command: string): boolean {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const without = (command: string) => (isThere(command) ? false : `NOT TESTED: there is no ${command}`);

export function describeProxied(pages: () => Pages): void {
  /** As the program names it. */
  const place = () => pages().resource.replace('https:', 'http:');
  const settings = () => ({
    NODE_EXTRA_CA_CERTS: join(pages().folder, 'ca.pem'),
    no_proxy: '*',
    NO_PROXY: '*',
  });

  async function run(command: readonly string[], options: readonly string[] = []) {
    const given = options.length > 0 ? options : ['--proxy', '--resource', pages().resource];
    return pages().world.run(command, { settings: settings(), options: ['--action', ACTION, ...given] });
  }

  const shell = (script: string) => [
    'sh',
    '-ec',
    script.replaceAll('PLACE', place()).replaceAll('FOLDER', pages().folder),
  ];

  describe('Through the proxy of its run', () => {
    test('curl gets, posts, uploads and downloads', { skip: without('curl') }, async () => {
      const { code, stdout, stderr } = await run(
        shell(`
        curl -sS --fail PLACE/small
        curl -sS --fail --data-binary hello PLACE/post
        curl -sS --fail -T FOLDER/large PLACE/put
        curl -sS --fail PLACE/large | sha256sum | cut -c 1-64
        curl -sS --fail --http1.0 PLACE/large | sha256sum | cut -c 1-64
        curl -sS -o /dev/null -w '%{http_code}\\n' -X DELETE PLACE/x
      `),
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual(stdout.trim().split('\n'), [
        `GET ${sha256('')}`,
        `POST ${sha256('hello')}`,
        `PUT ${sha256(LARGE)}`,
        sha256(LARGE),
        sha256(LARGE),
        '200',
      ]);
    });

    test('curl --fail ends with 22 for a place that is not declared, and with 56 for a tunnel (EGR-06)', {
      skip: without('curl'),
    }, async () => {
      const elsewhere = await run(shell('curl -sS --fail http://localhost:8999/'));
      assert.equal(elsewhere.code, 22, elsewhere.stderr);
      const told = await run(shell('curl -sS http://localhost:8999/'));
      assert.equal(JSON.parse(told.stdout).code, 'resource_not_declared');
      const tunnel = await run(shell(`curl -sS --proxytunnel PLACE/small`));
      assert.equal(tunnel.code, 56, tunnel.stderr);
    });

    test('a program in Python reads, with its standard library alone', {
      skip: without('python3'),
    }, async () => {
      const script = `
import json, sys, urllib.error, urllib.request
read = lambda *given: urllib.request.urlopen(urllib.request.Request(*given)).read().decode().strip()
said = [read(sys.argv[1] + "/a"), read(sys.argv[1] + "/b", b"hello")]
try:
    read("http://localhost:8999/")
except urllib.error.HTTPError as error:
    said.append(json.load(error)["code"])
print(json.dumps(said))`;
      const { code, stdout, stderr } = await run(['python3', '-c', script, place()]);
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), [
        `GET ${sha256('')}`,
        `POST ${sha256('hello')}`,
        'resource_not_declared',
      ]);
    });

    test('a program in Node does with fetch and with node:http, and asks the endpoint of its run past it', async () => {
      const { code, stdout, stderr } = await run(
        nodeProgram(`
        import http from 'node:http';
        const place = ${JSON.stringify(place())};
        const text = async (path, init) => (await fetch(place + path, init)).text();
        const all = await Promise.all(Array.from({ length: 50 }, (_, n) => text('/' + n)));
        const got = await new Promise((done) => http.get(place + '/plain', (answer) => done(answer.resume().statusCode)));
        const away = await (await fetch('http://localhost:8999/')).json();
        const endpoint = process.env.MAYFLY_TOKEN_ENDPOINT;
        const headers = { Authorization: 'Bearer ' + process.env.MAYFLY_BOOTSTRAP };
        const own = await (await fetch(endpoint + '/bootstrap', { method: 'POST', headers })).json();
        console.log(JSON.stringify({
          same: new Set(all).size, post: await text('/p', { method: 'POST', body: 'hello' }), got,
          away: away.code, own: Object.keys(own),
        }));
      `),
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), {
        same: 1,
        post: `POST ${sha256('hello')}\n`,
        got: 200,
        away: 'resource_not_declared',
        own: ['secret'],
      });
    });

    test('nobody gets a token back, and who started the run is told of the try once (EGR-12)', {
      skip: without('curl'),
    }, async () => {
      const { stdout, stderr } = await run(
        shell('curl -sS -D - -o /dev/null PLACE/echo; curl -sS -o /dev/null PLACE/echo'),
      );
      assert.match(stdout, /\r\nx-echo: DPoP \*{300,}\r\n/i);
      assert.equal(stderr.match(/sends back the token or the proof/g)?.length, 1, stderr);
      assert.doesNotMatch(stdout + stderr, /eyJ/);
    });
  });

  test('once an operator ends the session of the run, its program is let in nowhere and told why', async () => {
    const running = pages().world.start(
      nodeProgram(`
      const ask = async (name, secret) => (await fetch(process.env.MAYFLY_TOKEN_ENDPOINT + '/' + name, {
        method: 'POST', headers: { Authorization: 'Bearer ' + secret, 'Content-Type': 'application/json' }, body: '{}',
      })).json();
      const { secret } = await ask('bootstrap', process.env.MAYFLY_BOOTSTRAP);
      let answer = await fetch(${JSON.stringify(`${place()}/a`)});
      console.log(answer.status, 'in', (await ask('token', secret)).session_id, 'session');
      while (answer.status === 200) answer = await fetch(${JSON.stringify(`${place()}/a`)});
      console.log(answer.status, (await answer.json()).code);
    `),
      { settings: settings(), options: ['--action', ACTION, '--proxy', '--resource', pages().resource] },
    );
    const [, id] = /^200 in (\S+)/.exec(await running.says('session')) ?? assert.fail(running.stdout());
    await pages().world.revokeSession(id ?? '');
    const { stdout, stderr } = await running.ended;
    assert.match(stdout, /\n403 stopped\n$/, stderr);
  });

  test('the variables of the proxy are there, and none that leads around it', async () => {
    const show = nodeProgram('process.stdout.write(JSON.stringify(process.env))');
    const environment = JSON.parse((await run(show)).stdout);
    assert.match(environment.http_proxy, /^http:\/\/run:[\w-]{43}@127\.0\.0\.1:\d+$/);
    assert.equal(environment.HTTP_PROXY, environment.http_proxy);
    assert.equal(environment.NODE_USE_ENV_PROXY, '1');
    const { host } = new URL(environment.MAYFLY_TOKEN_ENDPOINT);
    assert.deepEqual([environment.no_proxy, environment.NO_PROXY], [host, host]);
    const onSocket = await run(show, ['--proxy', '--resource', pages().resource, '--socket']);
    assert.equal(JSON.parse(onSocket.stdout).no_proxy, undefined);
  });

  for (const [what, options] of [
    ['no resource', ['--proxy']],
    ['a resource without TLS', ['--proxy', '--resource', 'http://customers.example.com']],
    ['what is no address', ['--proxy', '--resource', 'customers']],
  ] as const) {
    test(`a proxy for ${what} is a mistake that is told before anything starts`, async () => {
      const { code, stdout, stderr } = await run(nodeProgram('console.log(1)'), options);
      assert.deepEqual([code, stdout], [1, ''], stderr);
      assert.match(stderr, /--resource/);
    });
  }
}
