/** TIM, RDS and floods: what one caller may cost, and that nobody can shut out another one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/time/clock.ts';
import { newIdentifier } from '../../src/time/identifier.ts';
import { soakFactor } from '../soak.ts';
import { newSessionKey } from '../test-agent.ts';
import { expectSafeAnswer } from './after-checks.ts';
import { type Case, createStage } from './oracle.ts';
import type { Answer, Attempt, Header } from './raw-request.ts';

/** Monotonic time stands still until it is moved, so no bucket fills by itself. */
let monotonicMilliseconds = Math.ceil(performance.now());
const clock = {
  milliseconds: () => Date.now(),
  monotonicMilliseconds: () => monotonicMilliseconds,
};
/** What the settings below allow in one go: 15 seconds' worth of failures, five seconds' worth of tokens. */
const FAILURE_BURST = 15;
const MINT_BURST = 500;

const stage = await createStage({
  clock,
  settings: { MAYFLY_RATE_OF_FAILURES: '1', MAYFLY_RATE_PER_CLIENT: '100' },
});
const { agent } = stage;

const from = (address: string, attempt: Attempt): Promise<Answer> =>
  stage.raw.send({ ...attempt, headers: [['X-Forwarded-For', address], ...(attempt.headers ?? [])] });
const good = (by = agent): Attempt => stage.tokenRequest({ by, key: newSessionKey() });
const forgery = agent.assertion({
  key: newSessionKey(),
  claims: { exp: Math.floor(Date.now() / 1000) + 290 },
});
const bad: Attempt = { fields: { ...agent.tokenFields(), client_assertion: forgery } };

/** Sends the same thing so many times, some at once; what came back, counted by status. */
async function flood(times: number, send: (index: number) => Promise<Answer>): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  let next = 0;
  const lane = async () => {
    while (next < times) {
      next += 1;
      const { status } = await send(next);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: 32 }, lane));
  return statuses;
}

const HOME = '192.0.2.10';
const STRANGER = '203.0.113.9';

function expectTooMany(answer: Answer): void {
  assert.equal(answer.status, 429, answer.text);
  assert.equal(answer.body.code, 'rate_limited');
  assert.equal(answer.headers.get('retry-after')?.length, 1);
  assert.match(answer.headers.get('retry-after')?.[0] ?? '', /^[1-9]\d{0,5}$/);
  expectSafeAnswer(answer, bad);
}

test('TIM-10: an address that keeps failing in the name of a client is turned away, and told for how long', async () => {
  assert.equal((await from(HOME, good())).status, 200, 'the client is at home there');
  const statuses = await flood(FAILURE_BURST + 100, () => from(STRANGER, bad));
  assert.equal(statuses.get(401), FAILURE_BURST);
  assert.equal(statuses.get(429), 100);
  expectTooMany(await from(STRANGER, bad));
});

test('TIM-10: the client itself is served, at home and from an address that nobody has seen', async () => {
  assert.equal((await from(HOME, good())).status, 200);
  assert.equal((await from('192.0.2.77', good())).status, 200);
  assert.equal((await from('2001:db8::7', good())).status, 200);
});

test('TIM-10: addresses that begin to fail in its name are turned away after a few tries', async () => {
  for (const address of ['198.51.100.1', '198.51.100.2']) {
    const statuses = await flood(20, () => from(address, bad));
    assert.ok((statuses.get(401) ?? 0) <= 5 + 32, 'a few, and what was on its way');
    assert.ok((statuses.get(429) ?? 0) >= 0);
    expectTooMany(await from(address, bad));
  }
  assert.equal((await from(HOME, good())).status, 200);
});

test('TIM-10: another client is served from everywhere but the address that failed', async () => {
  const other = stage.agentNamed('support-assistant');
  assert.equal((await from('192.0.2.50', good(other))).status, 200);
  assert.equal((await from(HOME, good(other))).status, 200);
});

test('TIM-12: one address is one address however it is written, and its neighbours are others', async () => {
  const spellings = ['::ffff:203.0.113.9', '::ffff:cb00:7109', '203.0.113.9:4711', '[::ffff:203.0.113.9]:80'];
  for (const spelling of spellings) expectTooMany(await from(spelling, bad));
  for (const neighbour of ['203.0.113.10', '::ffff:203.0.113.8', '2001:db8:1::9']) {
    assert.equal((await from(neighbour, good(stage.agentNamed('support-assistant')))).status, 200, neighbour);
  }
});

test('TIM-12: addresses written left of the one that our proxy saw count for nothing', async () => {
  expectTooMany(await from(`192.0.2.10, ${STRANGER}`, bad));
});

test('TIM-10: after the time that it was told, the address is heard again', async () => {
  const [seconds = ''] = (await from(STRANGER, bad)).headers.get('retry-after') ?? [];
  monotonicMilliseconds += Number(seconds) * 1_000;
  assert.equal((await from(STRANGER, bad)).status, 401);
  expectTooMany(await from(STRANGER, bad));
});

test('TOK-44: a hundred requests at once when one token is left of a client’s share make one token', async () => {
  const by = stage.agentNamed('billing-runner');
  const request = stage.tokenRequest({ by, fields: { scope: 'not:granted:ever' } });
  const statuses = await flood(MINT_BURST - 1, () => stage.ask(request));
  assert.deepEqual([...statuses.keys()], [400], 'refused requests count, and burn nothing else');
  const requests = Array.from({ length: 100 }, () =>
    stage.tokenRequest({ by, key: newSessionKey(), fields: { scope: 'billing:read:invoices' } }),
  );
  const before = await stage.ledger.countRows();
  const answers = await Promise.all(requests.map((each) => stage.ask(each)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  for (const answer of answers.filter(({ status }) => status !== 200)) expectTooMany(answer);
  const after = await stage.ledger.countRows();
  assert.equal(after.tokens - before.tokens, 1);
  assert.equal(after.spent - before.spent, 2, 'what was turned away is unspent');
});

test('TOK-44: others are minted for meanwhile, and the client again when its share has grown', async () => {
  assert.equal((await stage.mint()).status, 200);
  const by = stage.agentNamed('billing-runner');
  const ask = () => stage.mint({ by, key: newSessionKey(), fields: { scope: 'billing:read:invoices' } });
  expectTooMany(await ask());
  monotonicMilliseconds += 1_000;
  assert.equal((await ask()).status, 200);
});

test('a rate that is set low bounds from the first seconds on, for it bounds what comes at once too', async () => {
  const startBroker = (settings: Record<string, string>) => stage.world.startBroker({ clock, settings });
  const slow = await startBroker({ MAYFLY_RATE_PER_CLIENT: '1', MAYFLY_RATE_OF_FAILURES: '1' });
  const client = stage.world.agent(slow, 'report-writer');
  const mint = () => client.request(newSessionKey());
  for (let index = 0; index < 5; index += 1) assert.equal((await mint()).status, 200);
  const tooMany = await mint();
  assert.deepEqual([tooMany.status, tooMany.headers.get('retry-after')], [429, '1']);

  const fail = () =>
    client.request(newSessionKey(), { client_assertion: client.assertion({ key: newSessionKey() }) });
  for (let index = 0; index < 15; index += 1) assert.equal((await fail()).status, 401);
  assert.equal((await fail()).status, 429);

  const narrow = await startBroker({ MAYFLY_RATE_PER_SOURCE: '2' });
  const look = async () => (await fetch(`${narrow.url}/livez`)).status;
  assert.deepEqual(
    [await look(), await look(), await look(), await look(), await look()],
    [200, 200, 200, 200, 429],
  );
});

const strip = ({ body: { request_id: _id, ...rest } }: Answer) => rest;

test('TIM-04: a token of another resource and one that never was are the same to a resource server', async () => {
  const storage = stage.resourceNamed('https://storage.example.com');
  const { body } = await stage.mint({ key: newSessionKey() });
  const jti = JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString()).jti;
  const ask = (name: string) =>
    stage.ask({ path: `/v1/tokens/${name}/consume`, json: storage.authenticated({}) });
  const answers = [await ask(jti), await ask(newIdentifier('tok', systemClock)), await ask('nonsense')];
  for (const answer of answers) assert.deepEqual(strip(answer), strip(answers[0] as Answer));
});

test('TIM-02: unknown, expired and revoked tokens get one answer at introspection, in about one time', async (t) => {
  const resource = stage.resourceNamed('https://customers.example.com');
  const token = async () => (await stage.mint({ key: newSessionKey() })).body.access_token as string;
  const [expired, revoked] = [await token(), await token()];
  const { jti } = JSON.parse(Buffer.from(expired.split('.')[1] ?? '', 'base64url').toString());
  await stage.world.query('update tokens set expires_at = now() where jti = $1', [jti]);
  await stage.ask({ path: '/oauth/revoke', fields: agent.authenticated({ token: revoked }) });
  const medians = new Map<string, number>();
  for (const [name, text] of Object.entries({ unknown: 'unknown', expired, revoked })) {
    const taken: number[] = [];
    for (let index = 0; index < 40 * soakFactor(); index += 1) {
      const request = { path: '/oauth/introspect', fields: resource.authenticated({ token: text }) };
      const start = performance.now();
      const answer = await stage.ask(request);
      taken.push(performance.now() - start);
      assert.equal(answer.text, '{"active":false}');
    }
    medians.set(name, taken.sort((a, b) => a - b)[taken.length >> 1] ?? Number.NaN);
  }
  t.diagnostic(`medians in ms: ${JSON.stringify(Object.fromEntries(medians))}`);
});

const header = (name: string, value: string) => (): Attempt => {
  const { headers = [], ...request } = stage.tokenRequest();
  return { ...request, headers: [...headers, [name, value] as Header] };
};
const claim = (claims: object) => (): Attempt =>
  stage.tokenRequest({ dpop: agent.proof(stage.session, { claims }) });
const field = (name: string, value: string) => (): Attempt =>
  stage.tokenRequest({ fields: { [name]: value } });

/** Made for the patterns that are run over what comes in: each as long as it may be, and wrong at its end. */
const costly: Case[] = [
  { id: 'RDS-02', name: 'a scope of spaces', ask: field('scope', `a${' '.repeat(4_000)}a`), expected: 'IS' },
  {
    id: 'RDS-02',
    name: 'a scope of single letters',
    ask: field('scope', `${'a '.repeat(2_047)}"`),
    expected: 'IS',
  },
  {
    id: 'RDS-02',
    name: 'an htu of dots',
    ask: claim({ htu: `https://${'a.'.repeat(1_000)}!` }),
    expected: 'DP',
  },
  {
    id: 'RDS-02',
    name: 'an htu of hyphens',
    ask: claim({ htu: `https://a${'-'.repeat(2_000)}/` }),
    expected: 'DP',
  },
  {
    id: 'RDS-02',
    name: 'an htu of escapes',
    ask: claim({ htu: `https://a/${'%41'.repeat(660)}%` }),
    expected: 'DP',
  },
  {
    id: 'RDS-02',
    name: 'an htu of question marks',
    ask: claim({ htu: `https://a/${'?#'.repeat(900)}\n` }),
    expected: 'DP',
  },
  {
    id: 'RDS-02',
    name: 'an assertion of dots',
    ask: field('client_assertion', '.'.repeat(8_000)),
    expected: 'IC',
  },
  {
    id: 'RDS-02',
    name: 'an assertion of one alphabet',
    ask: field('client_assertion', `${'A'.repeat(8_000)}!`),
    expected: 'IC',
  },
  {
    id: 'RDS-02',
    name: 'a resource of slashes',
    ask: field('resource', `https:${'/'.repeat(16_000)}`),
    expected: 'IT',
  },
  {
    id: 'RDS-02',
    name: 'a url of a call of dots',
    ask: field(
      'authorization_details',
      JSON.stringify([
        {
          type: 'mayfly_call',
          action: 'a:b:c',
          method: 'GET',
          url: `https://${'a.'.repeat(1_000)}!`,
          arguments_digest: '',
        },
      ]),
    ),
    expected: 'AD',
  },
  {
    id: 'RDS-02',
    name: 'a Content-Type of spaces',
    ask: header('Content-Type', `application/x-www-form-urlencoded${' '.repeat(8_000)};x`),
    expected: '415',
  },
  {
    id: 'RDS-02',
    name: 'a list of 3,000 hops',
    ask: header('X-Forwarded-For', '1.1.1.1,'.repeat(1_500)),
    expected: 'OK',
  },
  {
    id: 'RDS-02',
    name: 'hops of brackets',
    ask: header('Forwarded', `for="${'['.repeat(8_000)}`),
    expected: 'OK',
  },
  { id: 'RDS-06', name: 'a form of plus signs', ask: field('x', ' '.repeat(15_000)), expected: 'OK' },
  { id: 'RDS-06', name: 'a form of escapes', ask: field('x', '\u00e4'.repeat(8_000)), expected: 'OK' },
  {
    id: 'RDS-06',
    name: 'letters that grow when their case changes',
    ask: field('scope', 'ﬃ'.repeat(1_300)),
    expected: 'IS',
  },
  {
    id: 'RDS-06',
    name: 'letters with a thousand accents',
    ask: field('client_id', `e${'\u0301'.repeat(5_000)}`),
    expected: 'IC',
  },
];
stage.run('RDS: what is made to be slow', costly);

test('RDS-02: none of it takes long: the processor time of twenty of each', async () => {
  const MAX_MILLISECONDS_EACH = 50;
  for (const { name, ask } of costly) {
    const requests = await Promise.all(Array.from({ length: 20 }, () => ask()));
    const before = process.cpuUsage();
    for (const request of requests) await stage.ask(request);
    const { user, system } = process.cpuUsage(before);
    const each = (user + system) / 1_000 / requests.length;
    assert.ok(each < MAX_MILLISECONDS_EACH, `${name}: ${each.toFixed(1)} ms`);
  }
});
