import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { agreed } from '../../src/cli/consent.ts';

/** A terminal at which somebody types this; null goes away without a word. */
function terminal(typed: string | null, { isTTY = true } = {}) {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = Object.assign(new PassThrough(), { isTTY });
  let text = '';
  output.on('data', (part) => {
    text += part;
  });
  if (typed === null) input.end();
  else input.write(typed);
  return { terminal: { input, output }, shown: () => text };
}

const asking = { yes: false, question: 'End it?', look: async () => 'sessions  1\n' };

for (const [typed, expected] of [
  ['y\n', true],
  ['Yes\n', true],
  ['\n', false],
  ['n\n', false],
  ['yesterday\n', false],
  [null, false],
] as const) {
  test(`${JSON.stringify(typed)} is taken for ${expected ? 'a yes' : 'a no'}`, async () => {
    const at = terminal(typed);
    assert.equal(await agreed({ ...asking, terminal: at.terminal }), expected);
    assert.match(at.shown(), /^sessions {2}1\n\nEnd it\? \[y\/N\] /);
  });
}

test('who said --yes is not asked, and nothing is looked up', async () => {
  const look = () => assert.fail('looked');
  assert.equal(await agreed({ ...asking, yes: true, look }), true);
});

test('where nobody can be asked, nobody is', async () => {
  const at = terminal('y\n', { isTTY: false });
  await assert.rejects(agreed({ ...asking, terminal: at.terminal }), /There is no terminal to ask at/);
  assert.equal(at.shown(), '');
});
