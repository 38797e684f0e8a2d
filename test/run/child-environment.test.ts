import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childEnvironment, KEY_VARIABLES } from '../../src/run/child-environment.ts';
import { fc } from '../properties.ts';

test('No variable that carries or points at a key is inherited, whatever it holds', () => {
  for (const name of ['MAYFLY_AGENT_KEY', 'MAYFLY_OPERATOR_KEY_FILE', 'DATABASE_URL', 'MAYFLY_KEK'])
    assert.ok(KEY_VARIABLES.includes(name), name);
  const own = Object.fromEntries(KEY_VARIABLES.map((name) => [name, 'x']));
  assert.deepEqual(childEnvironment({ ...own, PATH: '/bin', MAYFLY_ISSUER: 'x' }, []), {
    PATH: '/bin',
    MAYFLY_ISSUER: 'x',
  });
});

test('No value that is a key is inherited under another name', () => {
  const key = fc.string({ minLength: 16, maxLength: 60 }).filter((text) => text.trim().length >= 16);
  const name = fc.stringMatching(/^[A-Z_]{1,20}$/);
  const property = fc.property(
    fc.constantFrom(...KEY_VARIABLES),
    key,
    fc.array(fc.tuple(name, fc.string(), fc.string())),
    (variable, secret, around) => {
      const others = around.map(([other, before, after]) => [other, `${before}${secret}${after}`]);
      const own = { ...Object.fromEntries(others), [variable]: ` ${secret}\n` };
      assert.ok(!Object.values(childEnvironment(own, [])).some((value) => value.includes(secret.trim())));
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('What an offer gives goes before what there was, and what it withholds is not there', () => {
  const own = {
    HTTP_PROXY: 'before',
    AWS_PROFILE: 'before',
    MAYFLY_TOKEN_SOCKET: '/of/another/run',
    LANG: 'C',
  };
  const offers = [
    { environment: { HTTP_PROXY: 'http://127.0.0.1:1' } },
    { environment: { MAYFLY_TOKEN_ENDPOINT: 'x' }, withheld: ['AWS_PROFILE'] },
  ];
  assert.deepEqual(childEnvironment(own, offers), {
    HTTP_PROXY: 'http://127.0.0.1:1',
    MAYFLY_TOKEN_ENDPOINT: 'x',
    LANG: 'C',
  });
});
