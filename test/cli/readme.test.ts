/** The README's list of commands is that of the code. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Command } from 'commander';
import { EXIT } from '../../src/cli/failure.ts';
import { addOperatorCommands } from '../../src/cli/operator-commands.ts';
import { OPERATOR_VERBS } from '../../src/cli/operator-verbs.ts';
import { OTHER_VERBS } from '../../src/cli/other-verbs.ts';
import { ROOT, tableAfter, textOf } from '../documents/documents.ts';

const BEGIN = "<!-- operators' commands -->\n";
const END = "<!-- /operators' commands -->";
const readme = textOf('README.md');

const nouns = [...new Set([...OPERATOR_VERBS, ...OTHER_VERBS].map(({ noun }) => noun))];
const actions = new Map(
  [...OPERATOR_VERBS, ...OTHER_VERBS].map(({ noun, verb, may }) => [`${noun} ${verb}`, may]),
);

async function rows(): Promise<string[]> {
  const groups = await Promise.all(nouns.map((noun) => addOperatorCommands(new Command(noun), noun, {})));
  return groups.flatMap((group) =>
    group.commands.map((command) => {
      const name = `${group.name()} ${command.name()}`;
      const operands = command.registeredArguments.map((each) =>
        each.required ? `<${each.name()}>` : `[${each.name()}]`,
      );
      const may = actions.get(name);
      const action = may === null ? '' : `\`${may}\``;
      return `| \`${['mayfly', name, ...operands].join(' ')}\` | ${command.description()} | ${action} |\n`;
    }),
  );
}

test("the operators' commands are those of the code", async () => {
  const expected = `| command | does | action |\n|---|---|---|\n${(await rows()).join('')}`;
  const [before = '', rest = ''] = readme.split(BEGIN);
  const [told = '', after = ''] = rest.split(END);
  if (process.env.UPDATE_README === '1') {
    writeFileSync(`${ROOT}README.md`, `${before}${BEGIN}${expected}${END}${after}`);
    return;
  }
  assert.equal(told, expected, 'UPDATE_README=1 node --test test/cli/readme.test.ts writes it');
});

test('the exit codes are those of the code', () => {
  const told = tableAfter(readme, '| exit code |').map(([code]) => Number(code));
  assert.deepEqual(told, [...new Set([0, 6, ...Object.values(EXIT)])].sort());
  assert.match(textOf('src/cli/scopes-commands.ts'), /EXIT_WIDENS = 6;/);
});
