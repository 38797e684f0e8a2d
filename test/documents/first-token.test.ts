/** What the README has a newcomer do, done to the letter: it gives him a first token, and prints what it says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../broker-process.ts';
import { createCheckout } from './checkout.ts';
import { textOf } from './documents.ts';
import { patternOf, stepsOf } from './steps.ts';

const checkout = await createCheckout();
after(() => checkout.remove());

const hasCurl = spawnSync('curl', ['--version']).status === 0;
const skip = !hasCurl && 'NOT TESTED: there is no curl here';
const readme = checkout.placed(textOf('README.md'));

test('Each command of the first five minutes prints what the README says', { skip }, async () => {
  let printed = () => '';
  let steps = 0;
  for (const step of stepsOf(readme, 'First token in five minutes')) {
    steps += 1;
    if (step.kind === 'save') await writeFile(join(checkout.folder, step.name), step.text);
    if (step.kind === 'run') for (const command of step.commands) printed = await checkout.type(command);
    if (step.kind === 'printed') {
      const pattern = patternOf(step.lines);
      await until(() => pattern.test(`${printed()}\n`), step.lines.join('\n'), 5_000).catch((error) => {
        assert.fail(`${error.message}\nbut this was printed:\n${printed()}`);
      });
    }
  }
  assert.ok(steps > 10);
});

test('The examples for MCP run in a checkout as the README says', { skip }, async () => {
  const commands = [...readme.matchAll(/`(npx node examples\/[^`]+)`/g)].map(([, command = '']) => command);
  assert.ok(commands.length > 0);
  for (const command of commands) {
    const printed = await checkout.type(command);
    assert.match(printed(), /^search_documents: done for support-assistant, with a token for tools:search/m);
  }
});

test('The program of ten lines has not many more', () => {
  const [, program = ''] = readme.split('<!-- first-token.mjs -->\n```js\n');
  assert.ok((program.split('```')[0] ?? '').trimEnd().split('\n').length <= 11);
});

test('The agent that speaks the protocol itself gets a token', async () => {
  if (!hasCurl) await checkout.type('npm start');
  const [, rest = ''] = readme.split('<!-- agent.mjs -->\n```js\n');
  const [program = ''] = rest.split('```');
  await writeFile(join(checkout.folder, 'agent.mjs'), program);
  const printed = await checkout.type('npx node agent.mjs');
  assert.match(printed(), /^200 \{\n {2}access_token: 'eyJ/m);
  assert.match(printed(), /token_type: 'DPoP',\n {2}expires_in: 300,\n {2}scope: 'db:read:customers'/);
  assert.ok(program.trimEnd().split('\n').length <= 48);
});
