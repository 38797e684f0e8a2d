import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import express from 'express';
import { createVerifier, digestOfArguments, type Granted, type Verifier } from '../../src/verifier/index.ts';
import { ACTION, createFixture, SETTLED_SECONDS } from './fixture.ts';

const world = await createFixture();
after(() => world.stop());
const { token, requestToken, proof } = world;

async function serve(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** The verifier of a server at this URL, old enough to take proofs without a nonce. */
async function verifierAt(url: string): Promise<Verifier> {
  const verifier = createVerifier({ ...world.options, publicUrl: url });
  world.clock.advanceSeconds(SETTLED_SECONDS);
  await verifier.ready();
  return verifier;
}

const authorised = (accessToken: string, htm: string, htu: string, claims: object = {}) => ({
  Authorization: `DPoP ${accessToken}`,
  DPoP: proof(accessToken, { claims: { htm, htu, ...claims } }),
});

async function problemOf(response: Response): Promise<{ code?: string; error?: string }> {
  return (await response.json()) as { code?: string; error?: string };
}

describe('Behind Express', () => {
  let url = '';
  let stop = async (): Promise<void> => {};

  before(async () => {
    const app = express();
    const started = await serve(app);
    url = started.url;
    const verifier = await verifierAt(url);
    const router = express.Router();
    router.get('/customers', verifier.requireAction(ACTION), (request, response) => {
      response.json({ client: verifier.grantOf(request).claims.client_id });
    });
    app.post('/unparsed', verifier.requireAction(ACTION), (_request, response) => void response.end());
    app.get('/unguarded', (request, response) => void response.json(verifier.grantOf(request)));
    app.use('/crm', router);
    app.use(express.json());
    app.use(express.text());
    app.post('/exports', verifier.requireAction(ACTION, { requestToken: true }), (request, response) => {
      response.status(201).json(verifier.grantOf(request).call);
    });
    app.use(
      ((error, _request, response, _next) =>
        void response.status(500).json({ error: error.message })) satisfies express.ErrorRequestHandler,
    );
    stop = async () => {
      await verifier.close();
      started.server.close();
    };
  });
  after(() => stop());

  test('A handler below a mounted router is reached, with the claims', async () => {
    const target = `${url}/crm/customers`;
    const response = await fetch(`${target}?page=2`, { headers: authorised(token(), 'GET', target) });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), { client: 'report-writer' });
  });

  test('A refusal is answered with its status, challenge and problem document', async () => {
    const response = await fetch(`${url}/crm/customers`);
    assert.equal(response.status, 401);
    assert.match(response.headers.get('www-authenticate') ?? '', /^DPoP scope="db:read:customers", algs=/);
    assert.equal(response.headers.get('content-type'), 'application/problem+json');
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal((await problemOf(response)).code, 'credentials_missing');
  });

  test('A proof for GET opens no HEAD', async () => {
    const target = `${url}/crm/customers`;
    const response = await fetch(target, { method: 'HEAD', headers: authorised(token(), 'GET', target) });
    assert.equal(response.status, 401);
  });

  test('Two Authorization lines are 400 and two DPoP lines 401, where Node would take the first or join them', async () => {
    const target = `${url}/crm/customers`;
    const { Authorization, DPoP } = authorised(token(), 'GET', target);
    const line = (name: string, value: string) => `${name}: ${value}\r\n`;
    const lines = [line('Authorization', Authorization), line('DPoP', DPoP)];
    assert.match(
      await rawGet('/crm/customers', [...lines, line('authorization', Authorization)]),
      /^HTTP\/1.1 400 /,
    );
    assert.match(
      await rawGet('/crm/customers', [...lines, line('dpop', DPoP)]),
      /^HTTP\/1.1 401 .*invalid_dpop_proof/s,
    );
    assert.match(await rawGet('http://evil.example.com/crm/customers', lines), /^HTTP\/1.1 400 /);
    assert.match(await rawGet('/crm/customers', lines), /^HTTP\/1.1 200 /);
  });

  async function rawGet(target: string, lines: string[]): Promise<string> {
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n${lines.join('')}\r\n`,
    );
    return text(socket);
  }

  test('A call passes with the body that its token names, and not with another', async () => {
    const target = `${url}/exports`;
    const body = { name: 'weekly', rows: 3 };
    const post = async (given: unknown, type = 'application/json', htu = target) => {
      const accessToken = requestToken({ url: target, arguments_digest: digestOfArguments(body) });
      const headers = { ...authorised(accessToken, 'POST', htu), 'Content-Type': type };
      const response = await fetch(target, { method: 'POST', headers, body: JSON.stringify(given) });
      return { status: response.status, answer: await response.json() };
    };
    assert.deepEqual(await post({ rows: 3, name: 'weekly' }), { status: 201, answer: { arguments: body } });
    assert.equal((await post({ ...body, rows: 4 })).status, 401);
    assert.equal((await post(body, 'text/plain')).status, 400);
    assert.equal((await post(body, 'application/json', `${target}/`)).status, 401);
  });

  test('A guard before the parser of the body is a defect, loudly, and lets nothing through', async () => {
    const target = `${url}/unparsed`;
    const accessToken = requestToken({ url: target, arguments_digest: digestOfArguments({}) });
    const headers = { ...authorised(accessToken, 'POST', target), 'Content-Type': 'application/json' };
    const response = await fetch(target, { method: 'POST', headers, body: '{"drop":"everything"}' });
    assert.equal(response.status, 500);
    assert.match(String((await problemOf(response)).error), /after the parser of the body/);
  });

  test('A media type that the parser in front left alone is refused: the caller sent it, not the server', async () => {
    const target = `${url}/unparsed`;
    const accessToken = requestToken({ url: target, arguments_digest: digestOfArguments({}) });
    const headers = {
      ...authorised(accessToken, 'POST', target),
      'Content-Type': 'application/vnd.api+json',
    };
    const response = await fetch(target, { method: 'POST', headers, body: '{}' });
    assert.equal(response.status, 400);
    assert.equal((await problemOf(response)).code, 'invalid_request');
  });

  test('A handler that forgot its guard gets an exception', async () => {
    assert.equal((await fetch(`${url}/unguarded`)).status, 500);
  });

  test('A name that is no action is refused when the guard is made', () => {
    for (const action of ['', 'a b', 'a"b', 'ä']) {
      assert.throws(() => world.verifier.requireAction(action), TypeError);
    }
  });
});

describe('Behind a server that speaks fetch', () => {
  const url = 'https://customers.example.com/customers';
  const guarded = world.verifier.guard({ action: ACTION }, (_request, { claims }: Granted) =>
    Response.json({ client: claims.client_id }),
  );

  test('The handler is reached with the claims, or the refusal is the response', async () => {
    const accessToken = token();
    // Whatever host the server saw: the URL of a request says nothing about where it was meant to go.
    const passed = await guarded(
      new Request('http://10.0.0.7/customers', { headers: authorised(accessToken, 'GET', url) }),
    );
    assert.deepEqual(await passed.json(), { client: 'report-writer' });
    const refused = await guarded(new Request(url));
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get('www-authenticate') ?? '', /^DPoP /);
  });

  test('The next nonce is told also on a response whose headers cannot be changed', async () => {
    const redirecting = world.verifier.guard({ action: ACTION }, () =>
      Response.redirect('https://example.com/', 303),
    );
    const send = (nonce: string | undefined) => {
      const accessToken = token();
      return redirecting(new Request(url, { headers: authorised(accessToken, 'GET', url, { nonce }) }));
    };
    const nonce = (await send('unknown')).headers.get('dpop-nonce');
    assert.equal((await send(nonce ?? '')).status, 303);
    world.clock.advanceSeconds(30);
    const response = await send(nonce ?? '');
    assert.equal(response.status, 303);
    assert.notEqual(response.headers.get('dpop-nonce') ?? nonce, nonce);
  });

  test('Headers that fetch joined with a comma are refused', async () => {
    const accessToken = token();
    const headers = new Headers(authorised(accessToken, 'GET', url));
    headers.append('Authorization', `DPoP ${accessToken}`);
    assert.equal((await guarded(new Request(url, { headers }))).status, 401);
    const proofs = new Headers(authorised(accessToken, 'GET', url));
    proofs.append('DPoP', proof(accessToken));
    assert.equal((await guarded(new Request(url, { headers: proofs }))).status, 401);
  });

  test('The body of a call is compared, and still there for the handler', async () => {
    const body = '{"name":"weekly"}';
    const send = async (given: string | undefined, type = 'application/json') => {
      const accessToken = requestToken({ arguments_digest: digestOfArguments({ name: 'weekly' }) });
      const headers = { ...authorised(accessToken, 'POST', url), 'Content-Type': type };
      const request = new Request(url, {
        method: 'POST',
        headers,
        ...(given === undefined ? {} : { body: given }),
      });
      const verification = await world.verifier.verifyRequest(request, { action: ACTION });
      return { verification, request };
    };
    const { verification, request } = await send(body);
    assert.ok(verification.granted);
    assert.deepEqual(verification.call, { arguments: { name: 'weekly' } });
    assert.equal(await request.text(), body);
    const refused: [given: string | undefined, type?: string][] = [
      ['{"name":"other"}'],
      ['{"name":"x","name":"weekly"}'],
      ['{"name":"weekly"'],
      [`{"name":"weekly"}${' '.repeat(1_100_000)}`],
      [body, 'text/plain'],
      [undefined],
    ];
    for (const [given, type] of refused) {
      assert.equal((await send(given, type)).verification.granted, false, String(given).slice(0, 40));
    }
  });
});

test('No token, no proof and no key is in any refusal, whatever goes wrong', async () => {
  const answers: string[] = [];
  const collect = (value: unknown) => answers.push(JSON.stringify(value));
  const write = (details: object, message: string) =>
    void answers.push(`${message} ${JSON.stringify(details)}`);
  const own = await createFixture({ log: { info: write, warn: write } });
  const canary = `canary-${'c'.repeat(30)}`;
  const accessToken = own.token({ claims: { secret: canary } });
  const secrets = [canary, accessToken, ...accessToken.split('.').slice(1), String(own.options.key.kid)];
  const send = async (claims: object, bearer = accessToken, header: object = {}) => {
    const dpop = own.proof(bearer, { claims: { secret: canary, ...claims }, header });
    secrets.push(dpop, ...dpop.split('.').slice(1));
    collect(await own.verify(own.request(bearer, dpop)));
  };
  await send({ jti: canary.repeat(20) });
  await send({ htu: `https://${canary}.example.com/` });
  await send({ nonce: canary });
  await send({ iat: 1 });
  await send({}, accessToken, { jwk: { kty: canary } });
  await send({}, `${accessToken}x`);
  await send({}, own.token({ header: { kid: canary } }));
  await send({}, own.token({ claims: { aud: canary } }));
  collect(await own.verify(own.request(canary)));
  collect(await own.verify(own.request(accessToken, own.proof(accessToken), { target: `/${canary}"<` })));
  await own.issuer.stop();
  own.clock.advanceSeconds(301);
  await send({});
  for (const answer of answers) for (const secret of secrets) assert.ok(!answer.includes(secret), answer);
  assert.ok(answers.some((answer) => answer.includes('the broker cannot be asked')));
  await own.stop();
});

describe('The document about this server (RFC 9728)', () => {
  const RESOURCE = 'https://api.example.com/crm';
  const expected = (resource: string, rest: object = { scopes_supported: [ACTION] }) => ({
    resource,
    authorization_servers: [world.issuer.url],
    bearer_methods_supported: ['header'],
    dpop_bound_access_tokens_required: true,
    dpop_signing_alg_values_supported: ['ES256', 'Ed25519', 'EdDSA'],
    ...rest,
  });

  test('Express serves it under the path of the resource, and nothing else of that server', async () => {
    const verifier = createVerifier({ ...world.options, resource: RESOURCE });
    const app = express();
    app.use(verifier.metadata({ title: 'CRM' }));
    app.get('/crm', verifier.requireAction(ACTION), (_request, response) => void response.end());
    const { server, url } = await serve(app);
    const document = `${url}/.well-known/oauth-protected-resource/crm`;
    const response = await fetch(`${document}?x=1`);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.equal(response.headers.get('cache-control'), 'public, max-age=300');
    assert.deepEqual(
      await response.json(),
      expected(RESOURCE, { resource_name: 'CRM', scopes_supported: [ACTION] }),
    );
    const head = await fetch(document, { method: 'HEAD' });
    assert.deepEqual([head.status, await head.text()], [200, '']);
    const post = await fetch(document, { method: 'POST' });
    assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD']);
    for (const path of ['', '/crm/', '/crmx', '/CRM']) {
      assert.equal((await fetch(`${url}/.well-known/oauth-protected-resource${path}`)).status, 404, path);
    }
    const refused = await fetch(`${url}/crm`);
    const challenge = refused.headers.get('www-authenticate') ?? '';
    assert.match(
      challenge,
      /resource_metadata="https:\/\/api.example.com\/.well-known\/oauth-protected-resource\/crm"/,
    );
    server.close();
    await verifier.close();
  });

  test('A server that speaks fetch gets the same, and null for what is no question about it', async () => {
    const verifier = createVerifier(world.options);
    const { respond, path } = verifier.metadata();
    assert.equal(path, '/.well-known/oauth-protected-resource');
    assert.equal(respond(new Request('http://10.0.0.7/customers')), null);
    const ask = (method = 'GET') => respond(new Request(`http://10.0.0.7${path}`, { method }));
    assert.deepEqual(await ask()?.json(), expected(world.options.resource, {}), 'no guard yet');
    verifier.guard({ action: ACTION }, () => new Response());
    assert.deepEqual(await ask()?.json(), expected(world.options.resource));
    assert.equal(await ask('HEAD')?.text(), '');
    assert.equal(ask('DELETE')?.status, 405);
    await verifier.close();
  });

  test('It names the resource to which its place belongs, and the actions that it was told to', async () => {
    for (const [place, resource] of [
      ['https://a.example/.well-known/oauth-protected-resource', 'https://a.example'],
      ['https://a.example/.well-known/oauth-protected-resource/b/c', 'https://a.example/b/c'],
      ['https://a.example/.well-known/oauth-protected-resources', world.options.resource],
      ['https://a.example/about', world.options.resource],
    ] as const) {
      const verifier = createVerifier({ ...world.options, resourceMetadataUrl: place });
      verifier.requireAction(ACTION);
      const response = verifier.metadata({ actions: ['db:read:some'] }).respond(new Request(place));
      assert.deepEqual(
        await response?.json(),
        expected(resource, { scopes_supported: ['db:read:some'] }),
        place,
      );
      await verifier.close();
    }
  });
});
