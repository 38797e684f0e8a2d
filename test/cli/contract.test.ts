/** The table of commands and `openapi.yaml` say the same, and leave nothing out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argumentsOf } from '../../src/cli/operator-commands.ts';
import { OPERATOR_VERBS } from '../../src/cli/operator-verbs.ts';
import { OTHER_VERBS } from '../../src/cli/other-verbs.ts';
import {
  type Operation,
  type OperationObject,
  operations,
  resolve,
  type Schema,
} from '../openapi/contract.ts';

const managed = operations().filter(({ operation }) => operation['x-caller'].startsWith('mayfly:'));

for (const verb of OPERATOR_VERBS) {
  test(`mayfly ${verb.noun} ${verb.verb} asks what the contract describes`, () => {
    const method = verb.kind === 'change' ? 'POST' : 'GET';
    const found = operations().find((each) => each.method === method && each.path === verb.path);
    const { operation } = found ?? assert.fail(`no ${method} ${verb.path}`);
    assert.equal(operation['x-caller'], verb.may);
    if (verb.kind !== 'list') return;
    const parameters = queryOf(operation);
    for (const name of [...Object.keys(verb.filters ?? {}), 'cursor', 'limit'])
      assert.ok(parameters.includes(name), name);
    const members = membersOfRows(operation);
    for (const column of verb.columns)
      assert.ok(members.includes(column.split('.')[0] ?? ''), `${column} is not in ${members}`);
  });
}

for (const { noun, verb, may, operations: names } of OTHER_VERBS) {
  test(`mayfly ${noun} ${verb} asks what the contract describes`, () => {
    const callers = names.map((name) => {
      const found = operations().find(({ method, path }) => `${method} ${path}` === name);
      return (found ?? assert.fail(`no ${name}`)).operation['x-caller'];
    });
    assert.equal(callers[0] ?? null, may);
    assert.ok(callers.every((caller) => caller.startsWith('mayfly:')));
  });
}

test('every management operation has its command', () => {
  const commands = [
    ...OPERATOR_VERBS.map(({ kind, path }) => `${kind === 'change' ? 'POST' : 'GET'} ${path}`),
    ...OTHER_VERBS.flatMap((verb) => verb.operations),
  ];
  const told = managed.map(({ method, path }: Operation) => `${method} ${path}`);
  assert.deepEqual(
    told.filter((each) => !commands.includes(each)),
    [],
  );
});

test('an argument stands once in a path', () => {
  for (const { path } of OPERATOR_VERBS)
    assert.equal(new Set(argumentsOf(path)).size, argumentsOf(path).length);
});

type Parameter = { name: string; in: string; schema: Schema };

function queryOf({ parameters = [] }: OperationObject): string[] {
  return parameters
    .map((parameter) => resolve<Parameter>(parameter))
    .filter((parameter) => parameter.in === 'query')
    .map(({ name }) => name);
}

function membersOfRows({ responses }: OperationObject): string[] {
  const { content } = resolve(responses[200] ?? assert.fail());
  const list = resolve<Schema>(content?.['application/json']?.schema ?? {});
  const { data } = list.properties as { data: { items: Schema } };
  return membersOf(resolve<Schema>(data.items));
}

function membersOf({ properties = {}, allOf = [] }: Schema): string[] {
  const parts = (allOf as Schema[]).flatMap((part) => membersOf(resolve<Schema>(part)));
  return [...Object.keys(properties as object), ...parts];
}
